// How a live player keeps up with life: decided once a second from what it has
// buffered and where it stands.

/** Nothing may come for this long before the connection is given up. */
export const silenceLimit = 5000;
/** A player that stands further behind than this jumps; below it the player's own faster playback is enough. */
const behindLimit = 4;
/** A picture that stands still for this long, with more to show, is helped on. */
const frozenLimit = 3000;
/** How far behind the newest frame a jump ends. */
const margin = 0.8;

/**
 * @typedef {{ now: number, end: number, time: number }} Sample
 *   now in ms; end and time in seconds: the end of what is buffered and the place of the picture.
 * @typedef {{ do: 'nothing' | 'reconnect' } | { do: 'jump', to: number }} Advice
 */

/** Watches one connection, from its begin to its end. */
export class Pace {
  /** @param {number} now in ms */
  constructor(now) {
    this.grew = now;
    this.moved = now;
    this.end = 0;
    this.time = 0;
  }

  /**
   * @param {Sample} sample
   * @returns {Advice}
   */
  next({ now, end, time }) {
    if (end > this.end) this.grew = now;
    if (time !== this.time) this.moved = now;
    this.end = end;
    this.time = time;

    if (now - this.grew >= silenceLimit) return { do: 'reconnect' };
    const behind = end - time;
    const frozen = now - this.moved >= frozenLimit;
    if (behind > behindLimit || (frozen && behind > margin)) {
      this.moved = now;
      return { do: 'jump', to: end - margin };
    }
    return { do: 'nothing' };
  }
}
