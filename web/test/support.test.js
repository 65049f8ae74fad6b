import assert from 'node:assert/strict';
import { test } from 'node:test';

import { leftOut, plan } from '../src/support.js';

const h264 = { kind: 'video', codec: 'H.264', mime: 'video/mp4; codecs="avc1.42c00c"' };
const aac = { kind: 'audio', codec: 'AAC', mime: 'audio/mp4; codecs="mp4a.40.2"' };
const yes = () => true;

test('what the browser supports is played', () => {
  assert.deepEqual(plan([h264, aac], yes), { audio: true, video: true, notes: [] });
  assert.deepEqual(plan([aac], yes), { audio: true, video: false, notes: [] });
});

test('the browser is asked about the very type of the track', () => {
  const asked = /** @type {string[]} */ ([]);
  plan([h264, aac], (type) => asked.push(type) > 0);
  assert.deepEqual(asked, [h264.mime, aac.mime]);
});

test('sound that no browser knows leaves the picture', () => {
  const result = plan([h264, { kind: 'audio', codec: 'AC-3', mime: 'audio/mp4; codecs="ac-3"' }], yes);
  assert.deepEqual(result, { audio: false, video: true, notes: ['This audio (AC-3) cannot be played in this browser.'] });
});

test('the sound of cameras comes as FLAC', () => {
  const asked = /** @type {string[]} */ ([]);
  for (const codec of ['G.711 A-law', 'G.711 µ-law', 'PCM']) {
    assert.equal(plan([{ kind: 'audio', codec, mime: 'audio/PCMA' }], (type) => asked.push(type) > 0).audio, true);
  }
  assert.deepEqual(new Set(asked), new Set(['audio/mp4; codecs="flac"']));
  assert.equal(plan([{ kind: 'audio', codec: 'G.711 A-law' }], () => false).audio, false);
});

test('what the server left out is said in words', () => {
  assert.equal(leftOut('audio:AC-3'), 'This audio (AC-3) cannot be played in this browser.');
  assert.equal(leftOut('video:AV1, audio:E-AC-3').split('.').length, 3);
  for (const nothing of [null, '', 'data:x', 'nonsense']) assert.equal(leftOut(nothing), '');
});

test('a picture that this device lacks leaves the sound', () => {
  const hevc = { kind: 'video', codec: 'H.265', mime: 'video/mp4; codecs="hvc1.1.6.L93.B0"' };
  const result = plan([hevc, aac], (type) => !type.includes('hvc1'));
  assert.deepEqual(result, { audio: true, video: false, notes: ['This video (H.265) cannot be played in this browser.'] });
});

test('what the player cannot carry is not asked about', () => {
  assert.equal(plan([{ kind: 'video', codec: 'AV1', mime: 'video/mp4; codecs="av01.0.00M.08"' }], yes).video, false);
});

test('only the default tracks count', () => {
  assert.deepEqual(plan([h264, { ...h264, id: 1, codec: 'VP9' }, { kind: 'data', codec: 'unknown' }], yes).notes, []);
});
