import { copyList } from './copy.js';
import { el, say } from './dom.js';
import * as format from './format.js';
import { Player } from './player.js';
import { Recordings } from './recordings.js';
import { mediaSupport, plan } from './support.js';
import { playRows, publishRows } from './urls.js';

/**
 * @typedef {{ path: string, startedAt: string, state: string, viewers: number, bytes: number,
 *   tracks: import('./support.js').Track[] }} Stream as the server lists it
 * @typedef {{ rtmp: string, rtmps?: string, play: boolean }} Facts of the server: the address of RTMP, '' where it is off, and that with TLS
 */

const noMedia = 'This browser has no Media Source Extensions, so it cannot play here. An iPhone needs iOS 17.1 or newer.';

let cards = 0;

/** One stream on the page: its player, its facts and its addresses. */
export class Card {
  /** @type {Stream | undefined} */
  #stream;
  /** @type {import('./support.js').Plan} */
  #plan = mediaSupport() ? { audio: true, video: true, notes: [] } : { audio: false, video: false, notes: [noMedia] };
  #socket = false;
  #incoming = { bytes: 0, at: 0, rate: 0 };
  /** @type {import('./player.js').Status} */
  #status = { state: 'idle', text: '' };
  #changed;

  /**
   * @param {string} path
   * @param {Facts} facts
   * @param {() => void} changed is called when it begins or ends to play, or plays another way
   */
  constructor(path, facts, changed) {
    const id = `stream-${++cards}`;
    this.path = path;
    this.#changed = changed;
    this.video = el('video', { playsinline: true, preload: 'none', 'aria-label': `Picture of ${path}` });
    this.video.muted = true;
    this.player = new Player(this.video, (status) => this.#follow(status));
    this.text = el('p', { class: 'state', role: 'status' });
    this.begin = el('button', { type: 'button', class: 'begin', 'aria-label': `Play ${path}` });
    this.begin.addEventListener('click', () => {
      this.start();
      this.end.focus();
    });
    this.sound = el('button', { type: 'button', hidden: true, click: () => (this.video.muted = !this.video.muted) });
    this.video.addEventListener('volumechange', () => say(this.sound, this.video.muted ? 'Unmute' : 'Mute'));
    say(this.sound, 'Unmute');
    this.end = el('button', { type: 'button', hidden: true }, 'Stop');
    this.end.addEventListener('click', () => {
      this.player.stop();
      this.begin.focus();
    });
    this.facts = el('p', { class: 'facts' });
    this.numbers = el('p', { class: 'numbers' });
    this.notes = el('p', { class: 'notes', role: 'status' });
    this.recordings = new Recordings(path);
    this.root = el(
      'article',
      { class: 'card', 'aria-labelledby': id, 'data-path': path, 'data-state': 'idle' },
      el('div', { class: 'screen', hidden: !facts.play }, this.video, this.begin, this.text),
      el(
        'div',
        { class: 'about' },
        el('h2', { id }, el('a', { href: `#${path}` }, path)),
        this.facts,
        this.numbers,
        this.notes,
        el('div', { class: 'controls', hidden: !facts.play }, this.#transport(id), this.sound, this.end),
        this.recordings.root,
        el('details', {}, el('summary', {}, 'Addresses'), copyList([
          ...(facts.play ? playRows(location, path) : []),
          ...publishRows(location, facts.rtmp, path, facts.rtmps),
        ])),
      ),
    );
    say(this.notes, facts.play ? this.#plan.notes.join(' ') : 'Playing is switched off on this server.');
    this.playable = facts.play;
    this.update(undefined);
  }

  /** Whether a player of this card holds one of the browser's HTTP connections. */
  get holdsHTTP() {
    return this.player.wanted && !this.#socket;
  }

  /** @param {Stream | undefined} stream undefined when it is not live, or nothing is known about it */
  update(stream) {
    this.root.classList.toggle('live', stream !== undefined);
    this.#stream = stream;
    if (stream) {
      const now = performance.now();
      const { bytes, at } = this.#incoming;
      const rate = at && stream.bytes >= bytes ? ((stream.bytes - bytes) * 8000) / (now - at) : 0;
      this.#incoming = { bytes: stream.bytes, at: now, rate };
      this.#consider(stream);
    }
    this.#offer();
    say(this.facts, (stream?.tracks ?? []).map(format.track).join(' · '));
    this.#count();
  }

  /** Plays, without sound until the viewer wants it. */
  start() {
    if (!this.playable || !(this.#plan.audio || this.#plan.video)) return;
    const { audio, video } = this.#plan;
    this.root.dataset.sound = video ? '' : 'alone';
    this.player.start({ path: this.path, audio, video, socket: this.#socket });
    this.#changed();
  }

  /** @param {boolean} socket */
  carry(socket) {
    this.#socket = socket;
    for (const radio of this.root.querySelectorAll('input[type=radio]')) {
      /** @type {HTMLInputElement} */ (radio).checked = (/** @type {HTMLInputElement} */ (radio).value === 'ws') === socket;
    }
    if (this.player.wanted) this.start();
    this.#changed();
  }

  /** @param {Stream} stream */
  #consider(stream) {
    if (!this.playable) return;
    const supported = mediaSupport();
    const before = this.#plan;
    if (supported) this.#plan = plan(stream.tracks, supported);
    const { audio, video, notes } = this.#plan;
    say(this.notes, notes.join(' '));
    const other = audio !== before.audio || video !== before.video;
    if (other && this.player.wanted) this.start();
  }

  /** @param {import('./player.js').Status} status */
  #follow(status) {
    const { state, text } = status;
    const changed = state !== this.#status.state;
    this.#status = status;
    this.root.dataset.state = state;
    say(this.text, text);
    this.video.controls = state === 'playing';
    this.#offer();
    this.end.hidden = state === 'idle';
    this.sound.hidden = state === 'idle' || !this.#plan.audio;
    this.#count();
    if (changed) this.#changed();
  }

  #offer() {
    this.begin.hidden = this.#status.state !== 'idle' || !(this.#plan.audio || this.#plan.video);
  }

  #count() {
    const { state, latency, rate } = this.#status;
    const stream = this.#stream;
    const parts = [];
    if (stream) {
      const age = format.duration((Date.now() - Date.parse(stream.startedAt)) / 1000);
      parts.push(stream.state === 'reconnecting' ? 'waits for its publisher' : `live for ${age}`);
      parts.push(format.count(stream.viewers, 'viewer'));
    }
    const bits = this.#incoming.rate || rate;
    if (bits && (stream || state === 'playing')) parts.push(format.bitRate(bits));
    if (latency !== undefined) parts.push(`${latency.toFixed(1)} s behind`);
    say(this.numbers, parts.join(' · '));
  }

  /** @param {string} id */
  #transport(id) {
    const radio = (/** @type {string} */ value, /** @type {string} */ label) =>
      el(
        'label',
        {},
        el('input', { type: 'radio', name: `${id}-by`, value, checked: value === 'http', change: () => this.carry(value === 'ws') }),
        el('span', {}, label),
      );
    return el(
      'fieldset',
      { class: 'by' },
      el('legend', { class: 'quiet' }, `How to play ${this.path}`),
      radio('http', 'HTTP'),
      radio('ws', 'WebSocket'),
    );
  }
}
