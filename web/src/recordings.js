import { Missing, Refused, call, get } from './api.js';
import { el, say } from './dom.js';
import * as format from './format.js';
import { RecordingList } from './recordinglist.js';
import { escapePath } from './urls.js';

/**
 * @typedef {import('./recordinglist.js').Recording} Recording
 * @typedef {import('./recordinglist.js').Running} Running
 */

let missing = false;

/**
 * The recordings that run; undefined where the server does not record.
 * @returns {Promise<Running | undefined>}
 */
export async function running() {
  if (missing) return undefined;
  try {
    const lists = await Promise.all(
      ['recording', 'reconnecting', 'armed'].map((state) => get(`/flv/record/list?limit=1000&state=${state}`)),
    );
    return new Map(lists.flatMap((l) => l.items).map((r) => [r.streamPath, r]));
  } catch (err) {
    if (err instanceof Refused) throw err;
    missing = err instanceof Missing;
    return missing ? undefined : new Map(); // whoever begins one is told
  }
}

/** What a card shows of the recordings of its stream. */
export class Recordings {
  /** @type {Recording | undefined} */
  #running;
  #live = false;

  /** @param {string} path */
  constructor(path) {
    this.path = path;
    this.toggle = el('button', { type: 'button', class: 'record', click: () => void this.#toggle() });
    this.text = el('p', { class: 'numbers' });
    this.trouble = el('p', { class: 'notes', role: 'status' });
    this.list = new RecordingList(path, (text) => say(this.trouble, text));
    this.root = el(
      'div',
      { class: 'recorder', hidden: true },
      el('div', { class: 'controls' }, this.toggle, this.text),
      this.trouble,
      this.list.root,
    );
  }

  /**
   * @param {boolean} live
   * @param {Running | undefined} all undefined where the server does not record
   */
  update(live, all) {
    this.root.hidden = all === undefined;
    if (!all) return;
    this.#live = live;
    this.#running = all.get(this.path);
    this.#show();
    this.list.update(all);
  }

  #show() {
    const r = this.#running;
    this.toggle.hidden = !r && !this.#live;
    this.toggle.classList.toggle('on', r !== undefined);
    say(this.toggle, r ? 'Stop recording' : 'Record');
    say(this.text, r ? `${waits[r.state] ?? ''}${format.clock(r.durationMs / 1000)} · ${format.size(r.bytes)}` : '');
  }

  async #toggle() {
    if (this.toggle.ariaBusy === 'true') return;
    this.toggle.ariaBusy = 'true';
    try {
      say(this.trouble, '');
      const answer = await call('POST', `/flv/record/${this.#running ? 'stop' : 'start'}/${escapePath(this.path)}`);
      /** @type {Recording} */
      const r = await answer.json();
      this.#running = r.endedAt ? undefined : r;
      this.#show();
      await this.list.reload();
    } catch (err) {
      say(this.trouble, format.sentence(err instanceof Error ? err.message : String(err)));
    } finally {
      this.toggle.ariaBusy = 'false';
    }
  }
}

/** @type {Record<string, string>} */
const waits = { armed: 'Waits for its stream · ', reconnecting: 'Waits for its publisher · ' };
