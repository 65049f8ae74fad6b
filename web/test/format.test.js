import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bitRate, clock, count, duration, sentence, size, track } from '../src/format.js';

test('bit rates change their unit before they round up to it', () => {
  assert.deepEqual([0, 64_000, 999_499, 999_500, 2_345_678].map(bitRate), ['0 kbit/s', '64 kbit/s', '999 kbit/s', '1.0 Mbit/s', '2.3 Mbit/s']);
});

test('durations have at most two parts', () => {
  assert.deepEqual([-1, 59.9, 60, 3599, 3661, 90_061].map(duration), ['0 s', '59 s', '1 min', '59 min', '1 h 1 min', '1 d 1 h']);
});

test('counts have their plural', () => {
  assert.deepEqual([0, 1, 2].map((n) => count(n, 'viewer')), ['0 viewers', '1 viewer', '2 viewers']);
});

test('a track says what is known of it', () => {
  assert.equal(track({ kind: 'video', codec: 'H.264', width: 320, height: 180 }), 'H.264 320×180');
  assert.equal(track({ kind: 'audio', codec: 'AAC', sampleRate: 44100, channels: 2 }), 'AAC 44.1 kHz stereo');
  assert.equal(track({ kind: 'audio', codec: 'FLAC', sampleRate: 8000, channels: 1 }), 'FLAC 8 kHz mono');
  assert.equal(track({ kind: 'audio', codec: 'AAC', channels: 6 }), 'AAC 6 channels');
  assert.equal(track({ kind: 'audio', codec: 'MP3' }), 'MP3');
});

test("the server's words become a sentence", () => {
  assert.equal(sentence('control calls need the token'), 'Control calls need the token.');
  assert.equal(sentence('Not Found.'), 'Not Found.');
});

test('a recording tells its time and size', () => {
  assert.deepEqual([-1, 9.9, 75, 3599, 3600, 36_061].map(clock), ['0:00', '0:09', '1:15', '59:59', '1:00:00', '10:01:01']);
  assert.deepEqual([0, 999_499, 999_500, 82_540_000, 1.25e9].map(size), ['0 kB', '999 kB', '1.0 MB', '82.5 MB', '1.3 GB']);
});
