// Bundles the console into the folder that the server embeds. Assets carry a
// hash of their contents in their names, so that they may be cached for ever.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';

import { build } from 'esbuild';

const dist = new URL('../internal/console/dist/', import.meta.url);

await rm(new URL('assets', dist), { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: ['main.js', 'style.css', 'favicon.svg'].map((name) => `src/${name}`),
  outdir: new URL('assets', dist).pathname,
  entryNames: '[name]-[hash]',
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['chrome109', 'firefox115', 'safari16.4'],
  loader: { '.svg': 'copy' },
  legalComments: 'none',
  banner: { js: await notice() },
  metafile: true,
  logLevel: 'warning',
});

/** What the licences of the bundled packages want to be said. */
async function notice() {
  const folder = new URL('node_modules/mpegts.js/', import.meta.url);
  const { name, version, license, repository } = JSON.parse(await readFile(new URL('package.json', folder), 'utf8'));
  const inner = await readFile(new URL('dist/mpegts.js.LICENSE.txt', folder), 'utf8');
  return `/*! ${name} ${version}, ${license}, ${repository.url} */\n${inner}`;
}

let page = await readFile(new URL('src/index.html', import.meta.url), 'utf8');
for (const [out, { entryPoint, bytes }] of Object.entries(metafile.outputs)) {
  const name = basename(entryPoint ?? '');
  page = page.replaceAll(`"${name}"`, `"/assets/${basename(out)}"`);
  console.log(`${basename(out)}  ${Math.ceil(bytes / 1024)} KiB`);
}
await writeFile(new URL('index.html', dist), page);
