// Hosts of go-libp2p in one process, each linked to random others, and messages of one of them: what gossip.py
// compares with. Loopback and QUIC version 1 only; the defaults of go-libp2p-pubsub.
//
//	go-pubsub -hosts 20 -links 4 -messages 200 -rate 20 -bytes 256 -settle 4s -wait 10s
//
// With a rate of 0 the messages follow each other without a pause. Prints one line of JSON.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
)

const topicName = "benchmark"

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// newHost has no limits of resources: all hosts have one address here.
func newHost() host.Host {
	unlimited, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits))
	must(err)
	h, err := libp2p.New(libp2p.Transport(libp2pquic.NewTransport), libp2p.DisableRelay(),
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"), libp2p.ResourceManager(unlimited))
	must(err)
	return h
}

// A listener notes when each message came first.
type listener struct {
	mutex sync.Mutex
	tooks map[uint64]time.Duration
}

func (l *listener) listen(ctx context.Context, began time.Time, subscription *pubsub.Subscription) {
	for {
		message, err := subscription.Next(ctx)
		if err != nil {
			return
		}
		number := binary.LittleEndian.Uint64(message.Data)
		took := time.Since(began) - time.Duration(binary.LittleEndian.Uint64(message.Data[8:]))
		l.mutex.Lock()
		if _, known := l.tooks[number]; !known {
			l.tooks[number] = took
		}
		l.mutex.Unlock()
	}
}

func (l *listener) count() int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return len(l.tooks)
}

// duplicates counts the copies that a router refuses.
type duplicates struct{ count *atomic.Int64 }

func (d duplicates) DuplicateMessage(*pubsub.Message)       { d.count.Add(1) }
func (duplicates) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (duplicates) OnClosedOutboundStream(peer.ID)           {}
func (duplicates) Join(string)                              {}
func (duplicates) Leave(string)                             {}
func (duplicates) Graft(peer.ID, string)                    {}
func (duplicates) Prune(peer.ID, string)                    {}
func (duplicates) ValidateMessage(*pubsub.Message)          {}
func (duplicates) DeliverMessage(*pubsub.Message)           {}
func (duplicates) RejectMessage(*pubsub.Message, string)    {}
func (duplicates) ThrottlePeer(peer.ID)                     {}
func (duplicates) RecvRPC(*pubsub.RPC)                      {}
func (duplicates) SendRPC(*pubsub.RPC, peer.ID)             {}
func (duplicates) DropRPC(*pubsub.RPC, peer.ID)             {}
func (duplicates) UndeliverableMessage(*pubsub.Message)     {}

func main() {
	hostCount := flag.Int("hosts", 20, "")
	links := flag.Int("links", 4, "")
	messages := flag.Int("messages", 200, "")
	rate := flag.Float64("rate", 20, "messages a second; 0 for no pause")
	size := flag.Int("bytes", 256, "")
	settle := flag.Duration("settle", 4*time.Second, "")
	wait := flag.Duration("wait", 10*time.Second, "")
	flag.Parse()

	ctx := context.Background()
	began := time.Now()
	var copies atomic.Int64
	hosts := make([]host.Host, *hostCount)
	listeners := make([]*listener, *hostCount)
	var publisher *pubsub.Topic
	for i := range hosts {
		hosts[i] = newHost()
		router, err := pubsub.NewGossipSub(ctx, hosts[i], pubsub.WithRawTracer(duplicates{&copies}))
		must(err)
		topic, err := router.Join(topicName)
		must(err)
		subscription, err := topic.Subscribe(pubsub.WithBufferSize(4 * *messages))
		must(err)
		listeners[i] = &listener{tooks: map[uint64]time.Duration{}}
		go listeners[i].listen(ctx, began, subscription)
		if i == 0 {
			publisher = topic
		}
	}
	for i := 1; i < *hostCount; i++ {
		for _, other := range rand.Perm(i)[:min(*links, i)] {
			must(hosts[i].Connect(ctx, peer.AddrInfo{ID: hosts[other].ID(), Addrs: hosts[other].Addrs()}))
		}
	}
	time.Sleep(*settle)

	start := time.Now()
	for number := range *messages {
		if *rate > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(float64(number) / *rate * float64(time.Second)))))
		}
		data := make([]byte, *size)
		binary.LittleEndian.PutUint64(data, uint64(number))
		binary.LittleEndian.PutUint64(data[8:], uint64(time.Since(began)))
		must(publisher.Publish(ctx, data))
	}
	others := listeners[1:]
	for deadline := time.Now().Add(*wait); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if !slices.ContainsFunc(others, func(l *listener) bool { return l.count() < *messages }) {
			break
		}
	}
	var tooksMs []float64
	for _, l := range others {
		l.mutex.Lock()
		for _, took := range l.tooks {
			tooksMs = append(tooksMs, float64(took)/float64(time.Millisecond))
		}
		l.mutex.Unlock()
	}
	slices.Sort(tooksMs)
	expected := *messages * len(others)
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"delivered":               len(tooksMs),
		"expected":                expected,
		"ratio":                   float64(len(tooksMs)) / float64(expected),
		"p50_ms":                  at(tooksMs, 0.5),
		"p99_ms":                  at(tooksMs, 0.99),
		"duplicates_per_delivery": float64(copies.Load()) / max(1, float64(len(tooksMs))),
	}))
}

// at is the value below which that share of all lies.
func at(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return -1
	}
	return sorted[min(int(float64(len(sorted))*share), len(sorted)-1)]
}
