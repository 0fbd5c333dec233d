// Real kad-dht traffic of go-libp2p, as bytes.
//
//	client (kad-dht) --> relay (a bare host, records) --> server (kad-dht, knows three more nodes)
//
// The client believes that the relay is a node. Each frame that passes the relay becomes a line on the standard
// output: {"from": "client" or "server", "message": hex}, without the length in front.
// Then each line of the standard input, a message in hex, is unmarshalled and sent to the server: the line that
// answers has what Go reads in it ("read"), the same marshalled again ("message") and the server's reply, if there
// is one ("reply").
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-msgio"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/proto"
)

const (
	protocol        = "/kontinuum/kad/1.0.0"
	messageBytesMax = 4 << 20
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, server, relay := newNetwork(ctx)
	makeTraffic(ctx, client, server, relay)
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, messageBytesMax)
	for input.Scan() {
		message, err := hex.DecodeString(input.Text())
		must(err)
		show(readAndSend(ctx, relay, server.Host().ID(), message))
	}
	must(input.Err())
}

// newNetwork makes all nodes and connects them.
func newNetwork(ctx context.Context) (client, server *dht.IpfsDHT, relay host.Host) {
	client, server, relay = newNode(ctx), newNode(ctx), newHost()
	for range 3 {
		connect(ctx, newNode(ctx).Host(), server.Host())
	}
	connect(ctx, relay, server.Host())
	relay.SetStreamHandler(protocol, func(stream network.Stream) {
		forward(ctx, relay, stream, server.Host().ID())
	})
	connect(ctx, client.Host(), relay)
	for client.RoutingTable().Find(relay.ID()) == "" || server.RoutingTable().Size() < 3 {
		must(ctx.Err())
		time.Sleep(10 * time.Millisecond)
	}
	return client, server, relay
}

// makeTraffic has the client ask the relay everything that kad-dht nodes ask each other.
func makeTraffic(ctx context.Context, client, server *dht.IpfsDHT, relay host.Host) {
	must(client.Ping(ctx, relay.ID()))
	_, err := client.GetClosestPeers(ctx, "anything")
	must(err)

	must(client.PutValue(ctx, "/v/kontinuum", []byte("a value")))
	_, err = client.GetValue(ctx, "/v/kontinuum")
	must(err)
	if _, err = client.GetValue(ctx, "/v/nobody-has-this"); err != routing.ErrNotFound {
		panic(err)
	}

	hash, err := multihash.Sum([]byte("content"), multihash.SHA2_256, -1)
	must(err)
	content := cid.NewCidV1(cid.Raw, hash)
	must(server.Provide(ctx, content, false))
	must(client.Provide(ctx, content, true))
	found := 0
	for range client.FindProvidersAsync(ctx, content, 5) {
		found++
	}
	if found == 0 {
		panic("the server's provider was not found")
	}
}

// forward passes frames on in both directions and shows each of them, until one side ends its stream.
func forward(ctx context.Context, relay host.Host, from network.Stream, to peer.ID) {
	defer from.Close()
	out, err := relay.NewStream(ctx, to, protocol)
	if err != nil {
		from.Reset()
		return
	}
	defer out.Close()
	requests, replies := msgio.NewVarintReader(from), msgio.NewVarintReader(out)
	for {
		request, err := pass(requests, msgio.NewVarintWriter(out), "client")
		if err != nil {
			return
		}
		if read(request).GetType() == pb.Message_ADD_PROVIDER {
			continue // Has no reply.
		}
		if _, err := pass(replies, msgio.NewVarintWriter(from), "server"); err != nil {
			from.Reset()
			return
		}
	}
}

// pass reads one frame, shows it and writes it.
func pass(reader msgio.Reader, writer msgio.Writer, from string) ([]byte, error) {
	message, err := reader.ReadMsg()
	if err != nil {
		return nil, err
	}
	show(map[string]any{"from": from, "message": hex.EncodeToString(message)})
	return message, writer.WriteMsg(message)
}

// readAndSend tells what Go reads in a message and what the server replies to it.
func readAndSend(ctx context.Context, relay host.Host, server peer.ID, data []byte) map[string]any {
	message := read(data)
	again, err := proto.Marshal(message)
	must(err)
	shown := map[string]any{"read": fields(message), "message": hex.EncodeToString(again)}
	if message.GetType() == pb.Message_ADD_PROVIDER {
		return shown
	}
	stream, err := relay.NewStream(ctx, server, protocol)
	must(err)
	defer stream.Close()
	must(msgio.NewVarintWriter(stream).WriteMsg(data))
	// A node that refuses a request ends its stream without a word.
	if reply, err := msgio.NewVarintReader(stream).ReadMsg(); err == nil {
		shown["reply"] = hex.EncodeToString(reply)
	}
	return shown
}

// fields are the names of the specification with their values, octets in hex.
func fields(message *pb.Message) map[string]any {
	shown := map[string]any{
		"type":            message.GetType().String(),
		"key":             hex.EncodeToString(message.GetKey()),
		"closerPeers":     peers(message.GetCloserPeers()),
		"providerPeers":   peers(message.GetProviderPeers()),
		"clusterLevelRaw": message.GetClusterLevelRaw(),
		"unknown":         hex.EncodeToString(message.ProtoReflect().GetUnknown()),
	}
	if record := message.GetRecord(); record != nil {
		shown["record"] = map[string]string{
			"key":          hex.EncodeToString(record.GetKey()),
			"value":        hex.EncodeToString(record.GetValue()),
			"timeReceived": record.GetTimeReceived(),
		}
	}
	return shown
}

func peers(list []*pb.Message_Peer) []map[string]any {
	shown := []map[string]any{}
	for _, p := range list {
		addresses := []string{}
		for _, address := range p.GetAddrs() {
			addresses = append(addresses, hex.EncodeToString(address))
		}
		shown = append(shown, map[string]any{
			"id":         hex.EncodeToString(p.GetId()),
			"addrs":      addresses,
			"connection": int32(p.GetConnection()),
			"unknown":    hex.EncodeToString(p.ProtoReflect().GetUnknown()),
		})
	}
	return shown
}

func newNode(ctx context.Context) *dht.IpfsDHT {
	node, err := dht.New(newHost(), dht.Mode(dht.ModeServer), dht.ProtocolPrefix("/kontinuum"),
		dht.NamespacedValidator("v", anything{}), dht.DisableAutoRefresh())
	must(err)
	return node
}

func newHost() host.Host {
	h, err := libp2p.New(libp2p.Transport(libp2pquic.NewTransport),
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"), libp2p.DisableRelay())
	must(err)
	return h
}

func connect(ctx context.Context, from, to host.Host) {
	must(from.Connect(ctx, peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}))
}

// anything is the validator of the records: all of them are good.
type anything struct{}

func (anything) Validate(string, []byte) error        { return nil }
func (anything) Select(string, [][]byte) (int, error) { return 0, nil }

func read(data []byte) *pb.Message {
	message := new(pb.Message)
	must(proto.Unmarshal(bytes.Clone(data), message))
	return message
}

var output sync.Mutex

func show(line map[string]any) {
	output.Lock()
	defer output.Unlock()
	must(json.NewEncoder(os.Stdout).Encode(line))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
