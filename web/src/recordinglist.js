import { Missing, authorization, call, get, hasToken } from './api.js';
import { el, say } from './dom.js';
import * as format from './format.js';
import { watch } from './replay.js';
import { fileURL } from './urls.js';

/**
 * @typedef {{ id: string, streamPath: string, state: string, file: string, startedAt: string, endedAt: string | null,
 *   durationMs: number, bytes: number, error: string, remote?: { state: string, local: boolean } }} Recording as the server lists it
 * @typedef {Map<string, Recording>} Running the recordings that run, by the path of their stream
 */

const pageSize = 20;

/** All lists on the page, which show the same recordings. @type {Set<RecordingList>} */
const lists = new Set();

/** The list of recordings, of one stream or of all, newest first. */
export class RecordingList {
  #next = '';
  #running = '';
  /** @type {Map<string, HTMLElement>} what the rows say, by the id of the recording */
  #said = new Map();

  /**
   * @param {string} path '' for all streams
   * @param {(text: string) => void} complain is told what went wrong, '' before each try
   */
  constructor(path, complain) {
    this.path = path;
    this.complain = complain;
    this.items = el('ul', { class: 'recordings' });
    this.none = el('p', { class: 'hint', hidden: true }, 'There are none yet.');
    this.more = el('button', { type: 'button', hidden: true, click: () => void this.#load(this.#next) }, 'Show more');
    this.summary = el('summary', {}, path ? 'Recordings' : 'All recordings');
    this.root = el('details', { toggle: () => void this.reload() }, this.summary, this.none, this.items, this.more);
    lists.add(this);
  }

  /** Ends what the list shares with others; it is not on the page any more. */
  close() {
    lists.delete(this);
  }

  /** @param {Running} running */
  update(running) {
    for (const r of running.values()) {
      const said = this.#said.get(r.id);
      if (said) say(said, facts(r));
    }
    const ours = [...running.values()].filter((r) => !this.path || r.streamPath === this.path);
    const ids = ours.map((r) => r.id).sort().join();
    if (ids === this.#running) return;
    this.#running = ids;
    void this.reload();
  }

  /** Shows the newest ones, where the list is open. */
  async reload() {
    if (this.root.open) await this.#load('');
  }

  /** @param {string} cursor '' for the first page */
  async #load(cursor) {
    await this.#try(this.more, async () => {
      const query = new URLSearchParams({ stream: this.path, limit: String(pageSize), cursor });
      /** @type {{ items: Recording[], next: string, error?: string }} */
      const { items, next, error } = await get(`/flv/record/list?${query}`);
      const focused = this.items.contains(document.activeElement) ? document.activeElement : null;
      if (!cursor) this.#said.clear();
      const rows = items.map((r) => this.#row(r));
      if (cursor) this.items.append(...rows);
      else this.items.replaceChildren(...rows);
      if (cursor) rows[0]?.querySelector('button')?.focus();
      else if (focused) this.#refocus(focused.getAttribute('aria-label'));
      this.#next = next;
      this.more.hidden = next === '';
      this.#count();
      if (error) this.complain(format.sentence(`the list cannot be saved: ${error}`));
    });
  }

  /** @param {string | null} label of what had the focus before the rows were made anew */
  #refocus(label) {
    const same = [...this.items.querySelectorAll('[aria-label]')].find((e) => e.getAttribute('aria-label') === label);
    /** @type {HTMLElement} */ (same ?? this.summary).focus();
  }

  /** @param {string} id of a recording that is gone */
  #drop(id) {
    this.#said.delete(id);
    this.items.querySelector(`[data-id="${id}"]`)?.remove();
    this.#count();
  }

  #count() {
    this.none.hidden = this.items.childElementCount > 0;
  }

  /** @param {Recording} r */
  #row(r) {
    const when = new Date(r.startedAt).toLocaleString();
    const title = `${r.streamPath}, ${when}`;
    const url = fileURL(r.file);
    const said = el('span', { class: 'numbers' }, facts(r));
    this.#said.set(r.id, said);
    const away = r.remote?.state === 'stored' && !r.remote.local;
    /** @type {HTMLElement} */
    const row = el(
      'li',
      { 'data-id': r.id, 'data-file': r.file, 'data-state': r.state },
      el('span', { class: 'when' }, this.path ? when : title),
      said,
      el(
        'span',
        { class: 'does' },
        el('button', { type: 'button', 'aria-label': `Play ${title}`, click: () => watch(r.file, title) }, 'Play'),
        this.#link('FLV', `Download ${title} as FLV`, url, r.file),
        away ? '' : this.#link('MP4', `Download ${title} as MP4`, `${url}?format=mp4`, r.file.replace(/flv$/, 'mp4')),
        el('button', {
          type: 'button',
          class: 'remove',
          'aria-label': `Delete ${title}`,
          hidden: r.endedAt === null,
          click: () => void this.#remove(row, r, title),
        }, 'Delete'),
      ),
    );
    return row;
  }

  /**
   * A link that saves a file, also with the token, which links cannot send.
   * @param {string} text
   * @param {string} label
   * @param {string} url
   * @param {string} file
   */
  #link(text, label, url, file) {
    const link = el('a', { href: url, download: file.replaceAll('/', '_'), 'aria-label': label }, text);
    link.addEventListener('click', (event) => {
      if (!hasToken()) return;
      event.preventDefault();
      void this.#try(link, () => save(url, link.download));
    });
    return link;
  }

  /**
   * @param {HTMLElement} row
   * @param {Recording} r
   * @param {string} title
   */
  async #remove(row, r, title) {
    if (!(await sure(`Delete the recording ${title}? It cannot be brought back.`))) return;
    await this.#try(row, async () => {
      await call('DELETE', fileURL(r.file)).catch((err) => {
        if (!(err instanceof Missing)) throw err; // somebody else was faster
      });
      for (const list of lists) list.#drop(r.id);
      this.summary.focus();
    });
  }

  /**
   * Does something, once at a time, and says what went wrong.
   * @param {HTMLElement} by
   * @param {() => Promise<void>} what
   */
  async #try(by, what) {
    if (by.ariaBusy === 'true') return;
    by.ariaBusy = 'true';
    try {
      this.complain('');
      await what();
    } catch (err) {
      this.complain(format.sentence(err instanceof Error ? err.message : String(err)));
    } finally {
      by.ariaBusy = 'false';
    }
  }
}

/** @param {Recording} r */
function facts(r) {
  const parts = [format.clock(r.durationMs / 1000), format.size(r.bytes)];
  if (r.state !== 'finished') parts.push(r.error ? `${r.state}: ${r.error}` : r.state);
  return parts.join(' · ');
}

/**
 * Saves a file that only who has the token may fetch.
 * @param {string} url
 * @param {string} name
 */
async function save(url, name) {
  const answer = await fetch(url, { headers: authorization() });
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  const blob = URL.createObjectURL(await answer.blob());
  el('a', { href: blob, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(blob), 60_000);
}

/**
 * Asks before something that cannot be undone.
 * @param {string} question
 * @returns {Promise<boolean>}
 */
function sure(question) {
  const dialog = el(
    'dialog',
    { class: 'panel ask', 'aria-label': 'Delete?' },
    el('p', {}, question),
    el(
      'form',
      { method: 'dialog', class: 'controls' },
      el('button', { value: 'no', autofocus: true, class: 'plain' }, 'Keep it'),
      el('button', { value: 'yes' }, 'Delete'),
    ),
  );
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    dialog.showModal();
  });
}
