// Certificates that libp2p forbids, shown by a bare QUIC peer.

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	ic "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/quic-go/quic-go"
)

// forge dials with a forged certificate, or listens with one; the peer has to refuse it.
//
//	none      without libp2p's extension
//	other     an extension that signs another key than the certificate's
//	rsa       a good one of an identity that is an RSA key
//	good      a good one, which shows that only the certificate is at fault
func forge(ctx context.Context, words []string) (map[string]any, error) {
	switch words[0] {
	case "dial":
		address, _ := peer.SplitAddr(ma.StringCast(words[1]))
		target, err := manet.ToNetAddr(address.Decapsulate(ma.StringCast("/quic-v1")))
		if err != nil {
			return nil, err
		}
		config, _, err := forgedConfig(words[2])
		if err != nil {
			return nil, err
		}
		connection, err := quic.DialAddr(ctx, target.(*net.UDPAddr).String(), config, nil)
		if err != nil {
			return nil, err
		}
		// A server judges the client's certificate after the client has finished: its word comes later.
		select {
		case <-connection.Context().Done():
			return nil, context.Cause(connection.Context())
		case <-time.After(500 * time.Millisecond):
			return nil, connection.CloseWithError(0, "")
		}
	case "listen":
		config, key, err := forgedConfig(words[1])
		if err != nil {
			return nil, err
		}
		listener, err := quic.ListenAddr("127.0.0.1:0", config, nil)
		if err != nil {
			return nil, err
		}
		go func() {
			for {
				if _, err := listener.Accept(context.Background()); err != nil {
					return
				}
			}
		}()
		id, err := peer.IDFromPublicKey(key.GetPublic())
		if err != nil {
			return nil, err
		}
		port := listener.Addr().(*net.UDPAddr).Port
		return map[string]any{"address": fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1/p2p/%s", port, id)}, nil
	}
	return nil, errors.New("forge dial or forge listen")
}

func forgedConfig(kind string) (*tls.Config, ic.PrivKey, error) {
	keyType := ic.Ed25519
	if kind == "rsa" {
		keyType = ic.RSA
	}
	identity, _, err := ic.GenerateKeyPairWithReader(keyType, 2048, rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{SerialNumber: "1"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	if kind != "none" {
		signed := key
		if kind == "other" {
			if signed, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
				return nil, nil, err
			}
		}
		extension, err := libp2ptls.GenerateSignedExtension(identity, signed.Public())
		if err != nil {
			return nil, nil, err
		}
		template.ExtraExtensions = []pkix.Extension{extension}
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // The other side is the one that judges.
		ClientAuth:         tls.RequireAnyClientCert,
		Certificates:       []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}},
		NextProtos:         []string{"libp2p"},
	}, identity, nil
}
