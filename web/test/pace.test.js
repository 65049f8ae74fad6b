import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Pace } from '../src/pace.js';

test('a player that keeps up is left alone', () => {
  const pace = new Pace(0);
  for (let s = 1; s < 60; s++) assert.deepEqual(pace.next({ now: s * 1000, end: s + 0.7, time: s }), { do: 'nothing' });
});

test('a connection on which nothing comes for five seconds is given up', () => {
  const pace = new Pace(0);
  assert.equal(pace.next({ now: 4900, end: 0, time: 0 }).do, 'nothing');
  assert.equal(pace.next({ now: 5000, end: 0, time: 0 }).do, 'reconnect');
});

test('the silence is counted from the newest data, not from the begin', () => {
  const pace = new Pace(0);
  pace.next({ now: 4000, end: 3, time: 2.5 });
  assert.equal(pace.next({ now: 8900, end: 3, time: 3 }).do, 'nothing');
  assert.equal(pace.next({ now: 9000, end: 3, time: 3 }).do, 'reconnect');
});

test('a player far behind jumps to just before the newest frame', () => {
  const pace = new Pace(0);
  assert.deepEqual(pace.next({ now: 1000, end: 20, time: 5 }), { do: 'jump', to: 19.2 });
  assert.equal(pace.next({ now: 1500, end: 20.5, time: 19.4 }).do, 'nothing');
});

test('a picture that stands still while data comes is helped on, once at a time', () => {
  const pace = new Pace(0);
  pace.next({ now: 1000, end: 1.5, time: 1 });
  assert.equal(pace.next({ now: 3500, end: 3, time: 1 }).do, 'nothing');
  assert.deepEqual(pace.next({ now: 4000, end: 4, time: 1 }), { do: 'jump', to: 3.2 });
  assert.equal(pace.next({ now: 4500, end: 4.5, time: 1 }).do, 'nothing');
});
