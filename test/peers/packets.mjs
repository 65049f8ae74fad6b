// Reads a file or URL with the FFmpeg 8.1 libraries of node-av and prints what
// is in it, one JSON object to a line:
//
//	node -r ./node20.cjs packets.mjs <input> [most packets]
//
// first {"streams": [{"index", "codec", "config"}]}, with the SHA-256 of each
// stream's configuration, then for every packet {"stream", "pts", "dts", "key",
// "size", "hash"}, times in milliseconds, and {"end": true} at the end.
import { createHash } from 'node:crypto'
import { AVERROR_EOF } from 'node-av/constants'
import { avGetCodecName, FFmpegError, FormatContext, Packet } from 'node-av/lib'

const [input, most = Infinity] = process.argv.slice(2)

const ok = (code, what) => FFmpegError.throwIfError(code, what)
const hash = (data) => createHash('sha256').update(data ?? '').digest('hex')
const print = (row) => console.log(JSON.stringify(row))

const from = new FormatContext()
ok(await from.openInput(input), `opening ${input}`)
ok(await from.findStreamInfo(), 'looking at the streams')
print({
  streams: from.streams.map(({ index, codecpar }) => ({
    index,
    codec: avGetCodecName(codecpar.codecId),
    config: hash(codecpar.extradata),
  })),
})

const packet = new Packet()
packet.alloc()
let code = 0
for (let n = 0; n < Number(most) && (code = await from.readFrame(packet)) >= 0; n++) {
  const { num, den } = from.streams[packet.streamIndex].timeBase
  const ms = (t) => Math.round((Number(t) * num * 1000) / den)
  print({
    stream: packet.streamIndex,
    pts: ms(packet.pts),
    dts: ms(packet.dts),
    key: packet.isKeyframe,
    size: packet.size,
    hash: hash(packet.data),
  })
}
if (code < 0 && code !== AVERROR_EOF) ok(code, 'reading a packet')
print({ end: true })
await from.closeInput()
