// A js-libp2p host with gossipsub, driven by lines as the program in ../pubsub: a command in, events as JSON out.
//
//   --mesh N          peers that it wants in a mesh; with 0 it announces messages and passes none on by itself
//   --ids spec|own    message ids: the author's peer id and the sequence number, as the specification has it, or
//                     js-libp2p's own default, which takes the author's key instead and is two bytes shorter

import readline from 'node:readline'
import { randomBytes } from 'node:crypto'
import { quic } from '@chainsafe/libp2p-quic'
import { gossipsub } from '@libp2p/gossipsub'
import { identify, identifyPush } from '@libp2p/identify'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const option = (name) => process.argv[process.argv.indexOf(name) + 1]
const noMesh = { D: 0, Dlo: 0, Dhi: 0, Dscore: 0, Dout: 0 }
const specIds = {
  msgIdFn: ({ from, sequenceNumber }) => {
    const seqno = Buffer.alloc(8)
    seqno.writeBigUInt64BE(sequenceNumber)
    return Uint8Array.from(Buffer.concat([from.toMultihash().bytes, seqno]))
  }
}

const show = (event, fields = {}) => console.log(JSON.stringify({ ...fields, event }))

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/udp/0/quic-v1'] },
  transports: [quic()],
  connectionGater: { denyDialMultiaddr: () => false },
  services: {
    identify: identify(),
    identifyPush: identifyPush(),
    ping: ping(),
    pubsub: gossipsub({
      allowPublishToZeroTopicPeers: true,
      emitSelf: false,
      ...(option('--mesh') === '0' ? noMesh : {}),
      ...(option('--ids') === 'spec' ? specIds : {})
    })
  }
})
const { pubsub } = node.services

node.addEventListener('peer:connect', ({ detail }) => show('connected', { peer: String(detail) }))
node.addEventListener('peer:disconnect', ({ detail }) => show('disconnected', { peer: String(detail) }))
node.addEventListener('peer:identify', ({ detail }) => show('identified', {
  peer: String(detail.peerId),
  agent: detail.agentVersion,
  version: detail.protocolVersion,
  signed: detail.signedPeerRecord != null,
  listen: detail.listenAddrs.join(' '),
  observed: String(detail.observedAddr),
  protocols: detail.protocols
}))
pubsub.addEventListener('message', ({ detail }) => show('message', {
  topic: detail.topic,
  text: Buffer.from(detail.data.subarray(0, 100)).toString().split(' ')[0],
  size: detail.data.length,
  from: String(detail.from)
}))
pubsub.addEventListener('gossipsub:graft', ({ detail }) => show('grafted', { peer: detail.peerId, topic: detail.topic }))
pubsub.addEventListener('gossipsub:prune', ({ detail }) => show('pruned', { peer: detail.peerId, topic: detail.topic }))

// What comes, seen before gossipsub takes it.
const take = pubsub.handleReceivedRpc.bind(pubsub)
pubsub.handleReceivedRpc = async (from, rpc) => {
  const { control } = rpc
  if (control != null) {
    const count = (list) => list?.length ?? 0
    show('control', {
      peer: String(from),
      ihave: count(control.ihave),
      iwant: count(control.iwant),
      graft: count(control.graft),
      prune: count(control.prune),
      idontwant: (control.idontwant ?? []).reduce((sum, each) => sum + each.messageIDs.length, 0)
    })
  }
  return take(from, rpc)
}

const commands = {
  dial: async (address) => { await node.dial(multiaddr(address)) },
  close: async (peer) => { await node.hangUp(peerIdFromString(peer)) },
  ping: async (peer) => {
    const began = performance.now()
    await node.services.ping.ping(peerIdFromString(peer))
    return { us: Math.round((performance.now() - began) * 1000) }
  },
  join: (topic) => { pubsub.subscribe(topic) },
  leave: (topic) => { pubsub.unsubscribe(topic) },
  publish: async (topic, text, padding) => {
    const parts = [Buffer.from(text)]
    if (padding !== undefined) parts.push(Buffer.from(' '), randomBytes(Number(padding)))
    const { recipients } = await pubsub.publish(topic, Buffer.concat(parts))
    return { recipients: recipients.map(String) }
  },
  peers: (topic) => ({ peers: pubsub.getSubscribers(topic).map(String) })
}

show('ready', { peer: String(node.peerId), address: String(node.getMultiaddrs()[0]) })
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [command, ...words] = line.split(' ')
  let answer = {}
  let error = ''
  try {
    answer = await commands[command](...words)
  } catch (thrown) {
    error = `${thrown.name}: ${thrown.message}`
  }
  show(command, { ...answer, error })
}
process.exit(0)
