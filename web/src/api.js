// The control calls of the page, with the token that was typed in.

const key = 'sluice.token';
const limit = 10_000;

/** A call that the server refused until it is told who calls. */
export class Refused extends Error {}

/** A call that the server has not, since it was built or configured without. */
export class Missing extends Error {}

/** @param {string} token */
export function keepToken(token) {
  sessionStorage.setItem(key, token);
}

/** Whether a token was typed in. */
export function hasToken() {
  return sessionStorage.getItem(key) !== null;
}

/**
 * The headers of a control call.
 * @returns {Record<string, string>}
 */
export function authorization() {
  const token = sessionStorage.getItem(key);
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

/**
 * Gets a JSON document.
 * @param {string} path
 */
export async function get(path) {
  return (await call('GET', path)).json();
}

/**
 * Makes a call that succeeds, or throws what the server says.
 * @param {string} method
 * @param {string} path
 */
export async function call(method, path) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), limit);
  try {
    const answer = await fetch(path, { method, cache: 'no-store', signal: stop.signal, headers: authorization() });
    // The body is read before the time is over, too.
    const body = new Response(answer.status === 204 ? null : await answer.blob());
    if (answer.ok) return body;
    const problem = await body.json().catch(() => ({}));
    const text = problem.detail || problem.title || `status ${answer.status}`;
    if (answer.status === 401) throw new Refused(text);
    throw answer.status === 404 ? new Missing(text) : new Error(text);
  } finally {
    clearTimeout(timer);
  }
}
