// Copies streams without decoding them, by the FFmpeg 8.1 libraries of node-av:
//
//	node -r ./node20.cjs copy.mjs [-re] <input> <output.flv or rtmp URL>
//
// Each end may be a file or a URL; the output is always FLV. With -re, packets
// go out when their time has come.
import { setTimeout as sleep } from 'node:timers/promises'
import { AVERROR_EOF, AVFMT_FLAG_BITEXACT } from 'node-av/constants'
import { Dictionary, FFmpegError, FormatContext, Packet } from 'node-av/lib'

const [input, output] = process.argv.slice(2).filter((a) => a !== '-re')
const live = process.argv.includes('-re')

const ok = (code, what) => FFmpegError.throwIfError(code, what)

const from = new FormatContext()
const overTCP = input.startsWith('rtsp:') ? Dictionary.fromObject({ rtsp_transport: 'tcp' }) : null
ok(await from.openInput(input, null, overTCP), `opening ${input}`)
ok(await from.findStreamInfo(), 'looking at the streams')

const to = new FormatContext()
ok(to.allocOutputContext2(null, 'flv', output), 'making the output')
to.setFlags(AVFMT_FLAG_BITEXACT)
for (const stream of from.streams) {
  const copy = to.newStream()
  ok(stream.codecpar.copy(copy.codecpar), 'copying parameters')
  copy.codecpar.codecTag = 0 // that of the input says nothing in FLV
}
ok(await to.openOutput(), `opening ${output}`)
ok(await to.writeHeader(), 'writing the header')
console.error(`writing to ${output}`)

const packet = new Packet()
packet.alloc()
const began = performance.now()
let code
while ((code = await from.readFrame(packet)) >= 0) {
  const stream = from.streams[packet.streamIndex]
  if (live) {
    const due = (Number(packet.dts) * stream.timeBase.num * 1000) / stream.timeBase.den
    await sleep(Math.max(0, began + due - performance.now()))
  }
  packet.rescaleTs(stream.timeBase, to.streams[packet.streamIndex].timeBase)
  ok(await to.interleavedWriteFrame(packet), 'writing a packet')
}
if (code !== AVERROR_EOF) ok(code, 'reading a packet')
ok(await to.writeTrailer(), 'ending the output')
await to.closeOutput()
await from.closeInput()
