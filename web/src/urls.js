// Every address that the page shows or opens, from the page's own location,
// so that it is right behind any name, port or proxy.

/**
 * @typedef {{ protocol: string, host: string, hostname: string }} Place
 * @typedef {{ audio?: boolean, video?: boolean, socket?: boolean }} PlayOptions
 * @typedef {{ label: string, text: string }} Row
 */

/** The characters of a stream path that need no escape in a URL. */
const plain = /%(?:2B|2C|3A|3D|40)/g;

/**
 * Escapes a stream path for a URL.
 * @param {string} path
 */
export function escapePath(path) {
  return path
    .split('/')
    .map((segment) => encodeURIComponent(segment).replace(plain, decodeURIComponent))
    .join('/');
}

/**
 * Says what is wrong with a stream path, '' where nothing is. The server
 * decides; this is for whoever is typing one.
 * @param {string} path
 */
export function pathMistake(path) {
  const segments = path.split('/');
  if (path === '') return 'Enter a name, such as live/test.';
  if (segments.some((s) => s === '' || s === '.' || s === '..')) return 'No part between two slashes may be empty, "." or "..".';
  if (!/^[\p{L}\p{M}\p{N}._~@+=,:/-]+$/u.test(path)) return 'Letters, digits and . _ ~ @ + = , : - only.';
  if (segments[0] === 'record') return 'The first part may not be "record".';
  if (path.endsWith('.flv')) return 'The ending .flv belongs to the address, not to the name.';
  if (new TextEncoder().encode(path).length > 255) return 'At most 255 bytes.';
  return '';
}

/**
 * The address that a browser plays, over HTTP or a WebSocket.
 * @param {Place} place
 * @param {string} path
 * @param {PlayOptions} [options]
 */
export function playURL(place, path, { audio = true, video = true, socket = false } = {}) {
  const scheme = socket ? place.protocol.replace('http', 'ws') : place.protocol;
  const query = new URLSearchParams({ profile: 'web' });
  if (!audio) query.set('audio', 'off');
  if (!video) query.set('video', 'off');
  return `${scheme}//${place.host}/flv/${escapePath(path)}.flv?${query}`;
}

/**
 * The address of a recording's file.
 * @param {string} file as the server lists it
 */
export function fileURL(file) {
  return `/flv/record/files/${file.split('/').map(encodeURIComponent).join('/')}`;
}

/**
 * The addresses and commands to watch a stream elsewhere.
 * @param {Place} place
 * @param {string} path
 * @returns {Row[]}
 */
export function playRows(place, path) {
  return [
    { label: 'HTTP-FLV, for browsers', text: playURL(place, path) },
    { label: 'WebSocket-FLV, for browsers', text: playURL(place, path, { socket: true }) },
    { label: 'ffplay', text: `ffplay ${place.protocol}//${place.host}/flv/${escapePath(path)}.flv` },
  ];
}

/**
 * The addresses and commands to publish a stream; none where RTMP is off.
 * @param {Place} place
 * @param {string} rtmp the listener's address; without a host it is reached by the page's own
 * @param {string} path
 * @param {string} [rtmps] the same with TLS, '' where there is none
 * @returns {Row[]}
 */
export function publishRows(place, rtmp, path, rtmps = '') {
  if (rtmp === '') return [];
  const reach = (/** @type {string} */ addr) => (addr.startsWith(':') ? place.hostname : '') + addr;
  const root = `rtmp://${reach(rtmp)}`;
  const escaped = escapePath(path);
  const cut = escaped.lastIndexOf('/');
  const rows = [
    { label: 'RTMP', text: `${root}/${escaped}` },
    { label: 'ffmpeg', text: `ffmpeg -re -i input.mp4 -c copy -f flv ${root}/${escaped}` },
    { label: 'OBS server', text: `${root}/${cut < 0 ? escaped : escaped.slice(0, cut)}` },
  ];
  if (rtmps !== '') rows.splice(1, 0, { label: 'RTMP with TLS', text: `rtmps://${reach(rtmps)}/${escaped}` });
  if (cut >= 0) rows.push({ label: 'OBS stream key', text: escaped.slice(cut + 1) });
  return rows;
}

/**
 * The stream that a link to the page names, '' for none.
 * @param {string} hash
 */
export function pathOfHash(hash) {
  try {
    return decodeURIComponent(hash.replace(/^#\/?/, ''));
  } catch {
    return '';
  }
}
