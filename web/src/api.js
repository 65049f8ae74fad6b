// The control calls of the page, with the token that was typed in.

const key = 'sluice.token';
const limit = 10_000;

/** A call that the server refused until it is told who calls. */
export class Refused extends Error {}

/** @param {string} token */
export function keepToken(token) {
  sessionStorage.setItem(key, token);
}

/** Whether a token was typed in. */
export function hasToken() {
  return sessionStorage.getItem(key) !== null;
}

/**
 * Gets a JSON document.
 * @param {string} path
 */
export async function get(path) {
  const token = sessionStorage.getItem(key);
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), limit);
  try {
    const answer = await fetch(path, {
      cache: 'no-store',
      signal: stop.signal,
      headers: token === null ? {} : { Authorization: `Bearer ${token}` },
    });
    if (answer.ok) return await answer.json();
    const problem = await answer.json().catch(() => ({}));
    const text = problem.detail || problem.title || `status ${answer.status}`;
    throw answer.status === 401 ? new Refused(text) : new Error(text);
  } finally {
    clearTimeout(timer);
  }
}
