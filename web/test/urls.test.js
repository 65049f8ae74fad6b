import assert from 'node:assert/strict';
import { test } from 'node:test';

import { escapePath, fileURL, pathMistake, pathOfHash, playRows, playURL, publishRows } from '../src/urls.js';

const place = { protocol: 'http:', host: 'tv.example:8080', hostname: 'tv.example' };
const secure = { protocol: 'https:', host: 'tv.example', hostname: 'tv.example' };
const texts = (/** @type {{ label: string, text: string }[]} */ rows) => Object.fromEntries(rows.map((r) => [r.label, r.text]));

test('a player address always names the browser profile', () => {
  assert.equal(playURL(place, 'live/test'), 'http://tv.example:8080/flv/live/test.flv?profile=web');
  assert.equal(playURL(secure, 'demo', { socket: true }), 'wss://tv.example/flv/demo.flv?profile=web');
  assert.equal(playURL(place, 'a/b', { socket: true, audio: false }), 'ws://tv.example:8080/flv/a/b.flv?profile=web&audio=off');
  assert.equal(playURL(place, 'a', { video: false }), 'http://tv.example:8080/flv/a.flv?profile=web&video=off');
});

test('a path is escaped only where a URL needs it', () => {
  assert.equal(escapePath('live/a~b@c+d=e,f:g-h._'), 'live/a~b@c+d=e,f:g-h._');
  assert.equal(escapePath('tür/ö'), 't%C3%BCr/%C3%B6');
});

test('a command for ffplay asks for the stream as published', () => {
  assert.equal(texts(playRows(place, 'live/test')).ffplay, 'ffplay http://tv.example:8080/flv/live/test.flv');
});

test('publishing splits the path into what OBS asks for', () => {
  assert.deepEqual(texts(publishRows(place, ':1935', 'live/hall/cam1')), {
    RTMP: 'rtmp://tv.example:1935/live/hall/cam1',
    ffmpeg: 'ffmpeg -re -i input.mp4 -c copy -f flv rtmp://tv.example:1935/live/hall/cam1',
    'OBS server': 'rtmp://tv.example:1935/live/hall',
    'OBS stream key': 'cam1',
  });
});

test('a name of one part needs no stream key', () => {
  const rows = texts(publishRows(place, ':1935', 'demo'));
  assert.equal(rows['OBS server'], 'rtmp://tv.example:1935/demo');
  assert.ok(!('OBS stream key' in rows));
});

test('an RTMP listener with a host of its own is shown with it', () => {
  assert.equal(publishRows(place, '[fd00::1]:1936', 'live/test')[0].text, 'rtmp://[fd00::1]:1936/live/test');
  assert.deepEqual(publishRows(place, '', 'live/test'), []);
});

test('RTMP with TLS is offered where there is a listener', () => {
  const rows = publishRows(place, ':1935', 'live/test', ':1936');
  assert.equal(texts(rows)['RTMP with TLS'], 'rtmps://tv.example:1936/live/test');
  assert.ok(!('RTMP with TLS' in texts(publishRows(place, ':1935', 'live/test'))));
});

test('a link names a stream, escaped or not, and a broken one names none', () => {
  for (const hash of ['#live/test', '#/live/test', '#live%2Ftest']) assert.equal(pathOfHash(hash), 'live/test');
  assert.equal(pathOfHash('#t%C3%BCr'), 'tür');
  assert.equal(pathOfHash('#%ff'), '');
  assert.equal(pathOfHash(''), '');
});

test('a name is checked while it is typed', () => {
  for (const path of ['live/test', 'a/b/c/d', 'tür/ö.1~@+=,:-_']) assert.equal(pathMistake(path), '', path);
  for (const path of ['', '/a', 'a//b', 'a/../b', 'a b', 'a?b', '<b>', 'record/x', 'a.flv', 'ä'.repeat(128)]) {
    assert.notEqual(pathMistake(path), '', path);
  }
});

test('the address of a file keeps what its name has escaped', () => {
  assert.equal(fileURL('live/a%3Ab/20260102T030405.678Z.flv'), '/flv/record/files/live/a%253Ab/20260102T030405.678Z.flv');
});
