import { Refused, get, hasToken, keepToken } from './api.js';
import { Card } from './card.js';
import { copyList } from './copy.js';
import { byId, el, say } from './dom.js';
import * as format from './format.js';
import { RecordingList } from './recordinglist.js';
import { running } from './recordings.js';
import { pathMistake, pathOfHash, publishRows } from './urls.js';

const refreshEvery = 2000;
/** What browsers open to one server over HTTP/1.1; the page's own calls need one of them too. */
const connections = 6;

/** @type {Map<string, Card>} */
const cards = new Map();
/** @type {import('./card.js').Facts | undefined} */
let facts;
/** @type {number | undefined} */
let timer;
let selected = '';

const trouble = el('p', { class: 'notes', role: 'status' });
const all = new RecordingList('', (text) => say(trouble, text));

/** Reads the list and shows it, again and again. */
async function refresh() {
  clearTimeout(timer);
  try {
    facts ??= await learn();
    const [{ streams }, recordings] = await Promise.all([get('/console/streams'), running()]);
    show(streams);
    showRecordings(new Set(streams.map((/** @type {import('./card.js').Stream} */ s) => s.path)), recordings);
    byId('token').hidden = true;
  } catch (err) {
    complain(err);
  }
  timer = setTimeout(refresh, refreshEvery);
}

/** @returns {Promise<import('./card.js').Facts>} */
async function learn() {
  const answer = await get('/console/facts');
  for (const card of [...cards.values()]) drop(card); // made while nothing was known
  selected = '';
  byId('publish').hidden = answer.rtmp === '';
  offer(answer);
  byId('name').addEventListener('input', () => offer(answer));
  return answer;
}

/** @param {import('./card.js').Stream[]} streams */
function show(streams) {
  const live = new Map(streams.map((s) => [s.path, s]));
  for (const card of [...cards.values()]) {
    if (!live.has(card.path) && !card.player.wanted && card.path !== selected) drop(card);
    else card.update(live.get(card.path));
  }
  for (const [path, stream] of live) {
    if (!cards.has(path)) add(path).update(stream);
  }
  route();
  say(byId('summary'), `${format.count(streams.length, 'stream')} live`);
  const nothing = cards.size === 0;
  if (nothing && byId('empty').hidden) /** @type {HTMLDetailsElement} */ (byId('publish')).open = true;
  byId('empty').hidden = !nothing;
}

/**
 * @param {Set<string>} live
 * @param {import('./recordinglist.js').Running | undefined} recordings undefined where the server does not record
 */
function showRecordings(live, recordings) {
  for (const card of cards.values()) card.recordings.update(live.has(card.path), recordings);
  byId('recordings').hidden = recordings === undefined;
  if (recordings) all.update(recordings);
}

/** @param {unknown} err */
function complain(err) {
  if (err instanceof Refused) {
    byId('token').hidden = false;
    say(byId('refusal'), (hasToken() ? 'This token is not accepted. ' : '') + format.sentence(err.message));
    say(byId('summary'), '');
  } else {
    say(byId('summary'), 'The server does not answer. Trying again…');
  }
  route(); // playing may be open to everybody
}

/** @param {string} path */
function add(path) {
  const card = new Card(path, facts ?? { rtmp: '', play: true }, warn);
  cards.set(path, card);
  const [after] = [...cards.keys()].filter((p) => p > path).sort();
  byId('streams').insertBefore(card.root, cards.get(after)?.root ?? null);
  return card;
}

/** @param {Card} card */
function drop(card) {
  card.player.stop();
  card.recordings.list.close();
  card.root.remove();
  cards.delete(card.path);
}

/** Shows the stream that the address names, alone and playing, or all. */
function route() {
  const path = pathOfHash(location.hash);
  const before = selected;
  selected = pathMistake(path) ? '' : path;
  document.title = selected ? `${selected} · Sluice` : 'Sluice';
  document.body.classList.toggle('one', selected !== '');
  byId('back').hidden = selected === '';
  const card = selected ? cards.get(selected) ?? add(selected) : undefined;
  for (const other of cards.values()) {
    other.root.hidden = card !== undefined && other !== card;
    if (other.root.hidden && other.player.wanted) other.player.stop();
  }
  if (selected !== before && !card?.player.wanted) card?.start();
}

/** Warns before the browser runs out of connections. */
function warn() {
  const [page] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'));
  const held = [...cards.values()].filter((card) => card.holdsHTTP);
  byId('notice').hidden = page?.nextHopProtocol !== 'http/1.1' || held.length < connections;
}

/**
 * Shows how to publish under the name that is typed in.
 * @param {import('./card.js').Facts} answer
 */
function offer({ rtmp, rtmps }) {
  const name = /** @type {HTMLInputElement} */ (byId('name')).value.trim();
  const mistake = pathMistake(name);
  say(byId('mistake'), mistake);
  byId('commands').replaceChildren(...(mistake ? [] : [copyList(publishRows(location, rtmp, name, rtmps))]));
}

byId('notice').append(
  el('p', {}, `A browser opens at most ${connections} connections to a server over HTTP/1.1, and the players hold all of them: further ones, and this page itself, have to wait.`),
  el('button', {
    type: 'button',
    click: () => {
      for (const card of cards.values()) card.carry(true);
    },
  }, 'Play all over WebSocket'),
);
byId('recordings').append(trouble, all.root);
byId('token').addEventListener('submit', (event) => {
  event.preventDefault();
  const secret = /** @type {HTMLInputElement} */ (byId('secret'));
  keepToken(secret.value.trim());
  secret.value = '';
  void refresh();
});
addEventListener('hashchange', route);
void refresh();
