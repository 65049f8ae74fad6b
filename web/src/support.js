// What this browser can play of a stream, in words.

/**
 * @typedef {{ kind: string, codec: string, mime?: string, id?: number, width?: number, height?: number,
 *   sampleRate?: number, channels?: number }} Track
 * @typedef {{ audio: boolean, video: boolean, notes: string[] }} Plan
 */

/** What mpegts.js can hand to a browser, whatever the browser itself could play; its AV1 is broken. */
const known = new Set(['H.264', 'H.265', 'AAC', 'MP3', 'Opus', 'FLAC']);

/**
 * Tells which of a stream's default tracks can be played, and what to say
 * about those that cannot.
 * @param {Track[]} tracks
 * @param {(type: string) => boolean} isSupported
 * @returns {Plan}
 */
export function plan(tracks, isSupported) {
  /** @type {Plan} */
  const result = { audio: false, video: false, notes: [] };
  for (const track of tracks) {
    if (track.id || (track.kind !== 'audio' && track.kind !== 'video')) continue;
    if (known.has(track.codec) && (!track.mime || isSupported(track.mime))) result[track.kind] = true;
    else result.notes.push(refusal(track.kind, track.codec));
  }
  return result;
}

/**
 * @param {'audio' | 'video'} kind
 * @param {string} [codec]
 */
export function refusal(kind, codec) {
  const what = kind === 'audio' ? 'audio' : 'video';
  return `This ${what}${codec ? ` (${codec})` : ''} cannot be played in this browser.`;
}

/**
 * The browser's own answer to whether it plays a type, undefined where it has
 * no Media Source Extensions at all.
 * @returns {((type: string) => boolean) | undefined}
 */
export function mediaSupport() {
  const source = globalThis.MediaSource ?? /** @type {any} */ (globalThis).ManagedMediaSource;
  return source && ((type) => source.isTypeSupported(type));
}
