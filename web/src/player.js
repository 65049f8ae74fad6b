import mpegts from 'mpegts.js';

import { Pace, silenceLimit } from './pace.js';
import { leftOut, refusal } from './support.js';
import { playURL } from './urls.js';

mpegts.LoggingControl.applyConfig({ enableAll: false });

/**
 * @typedef {{ path: string, audio: boolean, video: boolean, socket: boolean }} Source
 * @typedef {{ state: 'idle' | 'connecting' | 'playing' | 'waiting' | 'trouble', text: string,
 *   latency?: number, rate?: number }} Status latency in seconds, rate in bits per second
 * @typedef {{ state: 'waiting' | 'trouble', text: string, deaf?: boolean }} End why a connection ended; deaf: for its audio
 */

const pollEvery = 2000;
const askLimit = 8000;
const checkEvery = 500;

/** @type {End} */
const nobody = { state: 'waiting', text: 'Nobody is publishing here. Playing goes on by itself when somebody does.' };

/**
 * Plays a live stream in a video element for as long as it is wanted: through
 * the ends and returns of its publisher, and through stalls.
 */
export class Player {
  #video;
  #report;
  /** @type {AbortController | undefined} */
  #wanted;
  #playing = false;

  /**
   * @param {HTMLVideoElement} video
   * @param {(status: Status) => void} report is told of every change, and of the numbers while it plays
   */
  constructor(video, report) {
    this.#video = video;
    this.#report = report;
    video.disableRemotePlayback = true; // without it iPhones give no ManagedMediaSource
  }

  /** Whether it plays, or tries to. */
  get wanted() {
    return this.#wanted !== undefined;
  }

  /** @param {Source} source */
  start(source) {
    this.#wanted?.abort();
    this.#wanted = new AbortController();
    void this.#live(source, this.#wanted.signal);
  }

  stop() {
    this.#wanted?.abort();
    this.#wanted = undefined;
    this.#report({ state: 'idle', text: '' });
  }

  /**
   * @param {Source} source
   * @param {AbortSignal} signal
   */
  async #live(source, signal) {
    let note = '';
    this.#report({ state: 'connecting', text: 'Connecting…' });
    while (!signal.aborted) {
      const url = playURL(location, source.path, source);
      const { no, lack } = await hurdle(url, signal);
      if (signal.aborted) return;
      const end = no ?? (await this.#connection(url, note || lack, signal));
      if (signal.aborted) return;
      if (end.deaf && source.audio) {
        source = { ...source, audio: false };
        note = end.text;
      }
      this.#report(end);
      await pause(no || end.state === 'trouble' ? pollEvery : checkEvery, signal);
    }
  }

  /**
   * Plays one connection to its end.
   * @param {string} url
   * @param {string} note
   * @param {AbortSignal} signal
   * @returns {Promise<End>}
   */
  async #connection(url, note, signal) {
    const player = mpegts.createPlayer(
      { type: 'flv', isLive: true, url },
      { enableStashBuffer: false, lazyLoad: false, liveSync: true, autoCleanupSourceBuffer: true },
    );
    const over = new AbortController();
    try {
      return await new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve(nobody), { signal: over.signal });
        player.on(mpegts.Events.ERROR, (_type, detail, info) => resolve(failure(detail, info?.msg)));
        player.on(mpegts.Events.LOADING_COMPLETE, () => this.#drain(over.signal).then(() => resolve(nobody)));
        player.attachMediaElement(this.#video);
        player.load();
        this.#play();
        this.#obey(over.signal);
        this.#watch(player, note, over.signal, resolve);
      });
    } finally {
      over.abort();
      this.#playing = false;
      player.destroy();
    }
  }

  /**
   * Stops when the viewer pauses, for a live stream does not wait, and plays
   * on when it was the browser that paused a hidden page.
   * @param {AbortSignal} over
   */
  #obey(over) {
    const video = this.#video;
    const paused = () => {
      if (this.#playing && !video.ended && !document.hidden) this.stop();
    };
    const shown = () => {
      if (this.#playing && !document.hidden && video.paused) this.#play();
    };
    video.addEventListener('pause', paused, { signal: over });
    document.addEventListener('visibilitychange', shown, { signal: over });
  }

  /**
   * Reports how it goes and keeps up with life, until the connection is over.
   * @param {{ statisticsInfo: any }} player its speed is in KiB/s
   * @param {string} note
   * @param {AbortSignal} over
   * @param {(end: End) => void} resolve
   */
  #watch(player, note, over, resolve) {
    const video = this.#video;
    const pace = new Pace(performance.now());
    const check = () => {
      const { buffered, currentTime: time } = video;
      const end = buffered.length ? buffered.end(buffered.length - 1) : 0;
      const now = performance.now();
      if (document.hidden && end === 0) pace.grew = now; // browsers open no media source in a hidden page
      const advice = pace.next({ now, end, time });
      if (advice.do === 'jump') video.currentTime = advice.to;
      if (advice.do === 'reconnect') {
        resolve({ state: 'trouble', text: `Nothing came for ${silenceLimit / 1000} seconds. Connecting again…` });
      }
      this.#playing ||= time > 0 && !video.paused;
      if (!this.#playing) return;
      const rate = (player.statisticsInfo.speed ?? 0) * 8192;
      this.#report({ state: 'playing', text: note || 'Live', latency: Math.max(0, end - time), rate });
    };
    const timer = setInterval(check, checkEvery);
    over.addEventListener('abort', () => clearInterval(timer));
  }

  #play() {
    this.#video.play().catch(() => {}); // refused or overtaken: the watch sees that nothing moves
  }

  /**
   * Lets the last pictures be seen.
   * @param {AbortSignal} over
   */
  #drain(over) {
    return new Promise((resolve) => {
      this.#video.addEventListener('ended', resolve, { signal: over });
      void pause(pollEvery, over).then(resolve);
    });
  }
}

/**
 * Asks whether a stream can be played, without being a viewer: a WebSocket or
 * a player would not tell why not, nor what is left out.
 * @param {string} url
 * @param {AbortSignal} signal
 * @returns {Promise<{ no?: End, lack: string }>} no: why not
 */
async function hurdle(url, signal) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), askLimit);
  signal.addEventListener('abort', () => stop.abort(), { signal: stop.signal });
  let status = 0;
  let lack = '';
  try {
    const answer = await fetch(url.replace(/^ws/, 'http'), { method: 'HEAD', cache: 'no-store', signal: stop.signal });
    status = answer.status;
    lack = leftOut(answer.headers.get('Sluice-Left-Out'));
  } catch {
    // no answer: status stays 0
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
  if (status >= 200 && status < 300) return { lack };
  if (status === 404) return { no: nobody, lack };
  return { no: { state: 'trouble', text: refusals[status] ?? `The server answers ${status}. Trying again…` }, lack };
}

/** @type {Record<number, string>} */
const refusals = {
  0: 'The server does not answer. Trying again…',
  401: 'Playing this stream is not allowed without a token.',
  403: 'Playing this stream is not allowed.',
  415: 'Nothing in this stream can be played in a browser.',
  503: 'The server is at its limit. Trying again…',
};

/**
 * @param {string} detail
 * @param {string} [message]
 * @returns {End}
 */
function failure(detail, message = '') {
  if (/unsupported audio/i.test(message)) return { state: 'trouble', text: refusal('audio'), deaf: true };
  if (/unsupported codec in video/i.test(message)) return { state: 'trouble', text: refusal('video') };
  return { state: 'trouble', text: `The connection broke (${message || detail}). Connecting again…` };
}

/**
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
