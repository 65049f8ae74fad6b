import { el } from './dom.js';

/**
 * Copies a text, also on plain http, where there is no clipboard object.
 * @param {HTMLInputElement} field holds the text
 */
async function copy(field) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(field.value);
      return true;
    } catch {
      // not allowed: the old way may be
    }
  }
  field.focus();
  field.select();
  return document.execCommand('copy');
}

/**
 * A list of texts to copy, each with its label and a button.
 * @param {import('./urls.js').Row[]} rows
 */
export function copyList(rows) {
  return el('div', { class: 'copies' }, ...rows.map(copyRow));
}

/** @param {import('./urls.js').Row} row */
function copyRow({ label, text }) {
  const field = el('input', { type: 'text', readonly: true, value: text, spellcheck: 'false', 'aria-label': label });
  field.addEventListener('focus', () => field.select());
  const said = el('span', { class: 'said', role: 'status' });
  const button = el('button', { type: 'button', 'aria-label': `Copy ${label}` }, 'Copy');
  button.addEventListener('click', async () => {
    said.textContent = (await copy(field)) ? 'Copied' : 'Press Ctrl+C';
    setTimeout(() => said.replaceChildren(), 2000);
  });
  return el('div', { class: 'copy' }, el('span', { class: 'label' }, label), el('span', { class: 'field' }, field, button), said);
}
