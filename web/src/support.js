// What this browser can play of a stream, in words.

/**
 * @typedef {{ kind: string, codec: string, mime?: string, id?: number, width?: number, height?: number,
 *   sampleRate?: number, channels?: number }} Track
 * @typedef {{ audio: boolean, video: boolean, notes: string[] }} Plan
 */

/** What mpegts.js can hand to a browser, whatever the browser itself could play; its AV1 is broken. */
const known = new Set(['H.264', 'H.265', 'AAC', 'MP3', 'Opus', 'FLAC']);

/** What the server turns into FLAC for browsers. */
const samples = new Set(['G.711 A-law', 'G.711 µ-law', 'PCM']);
const flac = 'audio/mp4; codecs="flac"';

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
    const mime = samples.has(track.codec) ? flac : track.mime;
    if ((known.has(track.codec) || mime === flac) && (!mime || isSupported(mime))) result[track.kind] = true;
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
 * Says what the server left out, by its header "audio:AC-3, video:AV1".
 * @param {string | null} header
 */
export function leftOut(header) {
  return (header ?? '')
    .split(',')
    .map((part) => part.trim().split(':'))
    .filter(([kind]) => kind === 'audio' || kind === 'video')
    .map(([kind, codec]) => refusal(/** @type {'audio' | 'video'} */ (kind), codec))
    .join(' ');
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
