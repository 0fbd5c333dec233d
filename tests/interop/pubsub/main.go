// A libp2p host with pubsub, driven by lines.
//
// Each line of the standard input is a command; each line of the standard output is an event, {"event": name, ...}:
// the answer to a command has its name, the others tell what happens. Loopback and QUIC version 1 only.
//
//	-router gossip|flood|none   which pubsub; with none the host answers identify and ping only
//	-mesh N                     peers that it wants in a mesh; with 0 it announces messages and passes none on by itself
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
)

const (
	commandTimeout = 20 * time.Second
	lineBytesMax   = 4 << 20
)

// A program is the host and what it takes part in.
type program struct {
	host   host.Host
	pubsub *pubsub.PubSub
	topics map[string]*pubsub.Topic
	subs   map[string]*pubsub.Subscription
}

func main() {
	router := flag.String("router", "gossip", "")
	mesh := flag.Int("mesh", 6, "")
	flag.Parse()
	h, err := libp2p.New(libp2p.Transport(libp2pquic.NewTransport),
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"), libp2p.DisableRelay())
	must(err)
	p := &program{host: h, topics: map[string]*pubsub.Topic{}, subs: map[string]*pubsub.Subscription{}}
	p.watch()
	p.pubsub = newPubSub(h, *router, *mesh)
	show("ready", map[string]any{"peer": h.ID().String(), "address": fmt.Sprintf("%s/p2p/%s", h.Addrs()[0], h.ID())})
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, lineBytesMax)
	for input.Scan() {
		words := strings.Fields(input.Text())
		if len(words) == 0 {
			continue
		}
		answer, err := p.obey(words[0], words[1:])
		if answer == nil {
			answer = map[string]any{}
		}
		answer["error"] = ""
		if err != nil {
			answer["error"] = err.Error()
		}
		show(words[0], answer)
	}
	must(input.Err())
}

// newPubSub is nil without a router.
func newPubSub(h host.Host, router string, mesh int) *pubsub.PubSub {
	ctx, trace := context.Background(), pubsub.WithRawTracer(tracer{})
	switch router {
	case "none":
		return nil
	case "flood":
		ps, err := pubsub.NewFloodSub(ctx, h, trace)
		must(err)
		return ps
	}
	params := pubsub.DefaultGossipSubParams()
	options := []pubsub.Option{trace}
	if mesh == 0 {
		params.D, params.Dlo, params.Dhi, params.Dscore, params.Dout = 0, 0, 0, 0, 0
		options = append(options, pubsub.WithFloodPublish(false))
	} else {
		params.D = mesh
	}
	ps, err := pubsub.NewGossipSub(ctx, h, append(options, pubsub.WithGossipSubParams(params))...)
	must(err)
	return ps
}

// watch tells of connections and of what peers say of themselves.
func (p *program) watch() {
	events, err := p.host.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerIdentificationFailed),
		new(event.EvtPeerProtocolsUpdated),
	})
	must(err)
	go func() {
		for e := range events.Out() {
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				show("identified", map[string]any{
					"peer": e.Peer.String(), "agent": e.AgentVersion, "version": e.ProtocolVersion,
					"signed": e.SignedPeerRecord != nil, "listen": fmt.Sprint(e.ListenAddrs),
					"observed": fmt.Sprint(e.ObservedAddr), "protocols": protocol.ConvertToStrings(e.Protocols),
				})
			case event.EvtPeerIdentificationFailed:
				show("identification failed", map[string]any{"peer": e.Peer.String(), "error": e.Reason.Error()})
			case event.EvtPeerProtocolsUpdated:
				show("protocols updated", map[string]any{"peer": e.Peer.String(), "added": protocol.ConvertToStrings(e.Added)})
			}
		}
	}()
	p.host.Network().Notify(&network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) {
			show("connected", map[string]any{"peer": c.RemotePeer().String(), "outbound": c.Stat().Direction == network.DirOutbound})
		},
		DisconnectedF: func(_ network.Network, c network.Conn) {
			show("disconnected", map[string]any{"peer": c.RemotePeer().String()})
		},
	})
}

// obey does one command.
func (p *program) obey(command string, words []string) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	switch command {
	case "dial": // ADDRESS
		target, err := peer.AddrInfoFromString(words[0])
		if err != nil {
			return nil, err
		}
		return nil, p.host.Connect(ctx, *target)
	case "close": // PEER
		return nil, p.host.Network().ClosePeer(decode(words[0]))
	case "ping": // PEER
		result := <-ping.Ping(ctx, p.host, decode(words[0]))
		return map[string]any{"us": result.RTT.Microseconds()}, result.Error
	case "join": // TOPIC
		return nil, p.join(words[0])
	case "leave": // TOPIC
		p.subs[words[0]].Cancel()
		delete(p.subs, words[0])
		return nil, nil
	case "publish": // TOPIC TEXT [PADDING]
		data := []byte(words[1])
		if len(words) > 2 {
			var padding int
			if _, err := fmt.Sscan(words[2], &padding); err != nil {
				return nil, err
			}
			random := make([]byte, padding)
			rand.Read(random)
			data = append(append(data, ' '), random...)
		}
		return nil, p.topics[words[0]].Publish(ctx, data)
	case "peers": // TOPIC
		peers := []string{}
		for _, id := range p.pubsub.ListPeers(words[0]) {
			peers = append(peers, id.String())
		}
		return map[string]any{"peers": peers}, nil
	case "raw": // NAME PEER PROTOCOL [HEX]: a stream of its own, on which these bytes are written
		return nil, p.raw(ctx, words)
	case "forge": // dial ADDRESS KIND, or listen KIND: a certificate that no peer may take
		return forge(ctx, words)
	}
	return nil, errors.New("no such command")
}

func (p *program) join(name string) error {
	topic, known := p.topics[name]
	if !known {
		var err error
		if topic, err = p.pubsub.Join(name); err != nil {
			return err
		}
		p.topics[name] = topic
	}
	subscription, err := topic.Subscribe()
	if err != nil {
		return err
	}
	p.subs[name] = subscription
	go func() {
		for {
			message, err := subscription.Next(context.Background())
			if err != nil {
				return
			}
			text, _, _ := strings.Cut(string(message.Data[:min(len(message.Data), 100)]), " ")
			show("message", map[string]any{
				"topic": name, "text": text, "size": len(message.Data), "from": message.GetFrom().String(),
				"via": message.ReceivedFrom.String(),
			})
		}
	}()
	return nil
}

// raw opens a stream and tells what comes on it.
func (p *program) raw(ctx context.Context, words []string) error {
	name := words[0]
	stream, err := p.host.NewStream(ctx, decode(words[1]), protocol.ID(words[2]))
	if err != nil {
		return err
	}
	go func() {
		block := make([]byte, 4096)
		for {
			n, err := stream.Read(block)
			if n > 0 {
				show("raw data", map[string]any{"name": name, "hex": hex.EncodeToString(block[:n])})
			}
			if err != nil {
				show("raw end", map[string]any{"name": name, "finished": err == io.EOF, "error": err.Error()})
				return
			}
		}
	}()
	if len(words) < 4 {
		words = append(words, "")
	}
	data, err := hex.DecodeString(words[3])
	if err != nil {
		return err
	}
	_, err = stream.Write(data)
	return err
}

// A tracer tells of the control messages that came, and of messages that were refused.
type tracer struct{}

func (tracer) RecvRPC(rpc *pubsub.RPC) {
	control := rpc.GetControl()
	if control == nil {
		return
	}
	ids := 0
	for _, each := range control.GetIdontwant() {
		ids += len(each.GetMessageIDs())
	}
	show("control", map[string]any{
		"peer": rpc.From().String(), "ihave": len(control.GetIhave()), "iwant": len(control.GetIwant()),
		"graft": len(control.GetGraft()), "prune": len(control.GetPrune()), "idontwant": ids,
	})
}

func (tracer) RejectMessage(message *pubsub.Message, reason string) {
	show("rejected", map[string]any{"from": message.ReceivedFrom.String(), "reason": reason})
}

func (tracer) OnNewOutboundStream(id peer.ID, used protocol.ID) {
	show("stream opened", map[string]any{"peer": id.String(), "protocol": string(used)})
}

func (tracer) OnClosedOutboundStream(id peer.ID) {
	show("stream closed", map[string]any{"peer": id.String()})
}

func (tracer) Graft(id peer.ID, topic string) {
	show("grafted", map[string]any{"peer": id.String(), "topic": topic})
}

func (tracer) Prune(id peer.ID, topic string) {
	show("pruned", map[string]any{"peer": id.String(), "topic": topic})
}

func (tracer) Join(string)                          {}
func (tracer) Leave(string)                         {}
func (tracer) ValidateMessage(*pubsub.Message)      {}
func (tracer) DeliverMessage(*pubsub.Message)       {}
func (tracer) DuplicateMessage(*pubsub.Message)     {}
func (tracer) ThrottlePeer(peer.ID)                 {}
func (tracer) SendRPC(*pubsub.RPC, peer.ID)         {}
func (tracer) DropRPC(*pubsub.RPC, peer.ID)         {}
func (tracer) UndeliverableMessage(*pubsub.Message) {}

func decode(text string) peer.ID {
	id, err := peer.Decode(text)
	must(err)
	return id
}

var output sync.Mutex

func show(name string, fields map[string]any) {
	output.Lock()
	defer output.Unlock()
	fields["event"] = name
	must(json.NewEncoder(os.Stdout).Encode(fields))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
