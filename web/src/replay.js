import mpegts from 'mpegts.js';

import { authorization, hasToken } from './api.js';
import { el, say } from './dom.js';
import { mediaSupport } from './support.js';
import { fileURL } from './urls.js';

/**
 * Shows a recording in a window of its own, which seeks by asking for ranges
 * of the file.
 * @param {string} file
 * @param {string} title
 */
export function watch(file, title) {
  const video = el('video', { controls: true, playsinline: true, 'aria-label': `Recording of ${title}` });
  video.disableRemotePlayback = true; // without it iPhones give no ManagedMediaSource
  const trouble = el('p', { class: 'notes', role: 'alert' });
  const close = el('button', { type: 'button', click: () => dialog.close() }, 'Close');
  const dialog = el(
    'dialog',
    { class: 'panel replay', 'aria-label': `Recording of ${title}` },
    el('div', { class: 'controls' }, el('h2', {}, title), close),
    video,
    trouble,
  );
  const stop = play(video, fileURL(file), (text) => say(trouble, text));
  dialog.addEventListener('close', () => {
    stop();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * @param {HTMLVideoElement} video
 * @param {string} path
 * @param {(text: string) => void} complain
 * @returns {() => void} ends it
 */
function play(video, path, complain) {
  if (!mediaSupport()) return playMP4(video, path, complain);
  let other = 0;
  let stop = () => {
    clearTimeout(other);
    player.destroy();
  };
  const player = mpegts.createPlayer(
    { type: 'flv', isLive: false, url: new URL(path, location.href).href },
    { seekType: 'range', headers: authorization(), autoCleanupSourceBuffer: true },
  );
  player.on(mpegts.Events.ERROR, (_type, detail, info) => {
    const convert = detail === mpegts.ErrorDetails.MEDIA_FORMAT_UNSUPPORTED || detail === mpegts.ErrorDetails.MEDIA_CODEC_UNSUPPORTED;
    if (!convert) complain(`It cannot be played (${info?.msg || detail}).`);
    if (convert && !other) other = setTimeout(() => { // the player does not bear to be destroyed while it reports
      player.destroy();
      stop = playMP4(video, path, complain);
    });
  });
  player.attachMediaElement(video);
  player.load();
  void Promise.resolve(player.play()).catch(() => {}); // who wants to can press play
  return () => stop();
}

/**
 * Plays what mpegts.js does not know, such as the sound of many cameras, as
 * the server converts it: that has no length, and seeks in what has come.
 * @param {HTMLVideoElement} video
 * @param {string} path
 * @param {(text: string) => void} complain
 * @returns {() => void} ends it
 */
function playMP4(video, path, complain) {
  const over = new AbortController();
  const { signal } = over;
  let blob = '';
  const failed = () => complain('It cannot be played in this browser. The file can be downloaded.');
  const begin = async () => {
    if (hasToken()) {
      const answer = await fetch(`${path}?format=mp4`, { headers: authorization(), signal });
      blob = URL.createObjectURL(await answer.blob());
    }
    video.src = blob || `${path}?format=mp4`;
    await video.play().catch(() => {}); // who wants to can press play
  };
  video.addEventListener('error', failed, { signal });
  begin().catch(() => signal.aborted || failed());
  return () => {
    over.abort();
    video.removeAttribute('src');
    video.load();
    URL.revokeObjectURL(blob);
  };
}
