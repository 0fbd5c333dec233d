"""Every size that Kontinuum accepts from the wire. One place, so that one page can list them.

Each docstring gives the value's unit, its source, and what happens beyond it. "Refused" means: the decoder
raises ``MalformedError`` and nothing changes.
"""

# --- generic encodings -------------------------------------------------------------------------------------

VARINT_BYTES_MAX = 9
"""Bytes of an unsigned varint. multiformats/unsigned-varint, "Practical maximum". Longer: refused."""

VARINT_MAX = 2**63 - 1
"""Largest number in a varint of nine bytes. multiformats/unsigned-varint. Not encodable beyond."""

CBOR_DEPTH_MAX = 16
"""Containers inside each other in one CBOR item. Our choice: our formats use at most 4. Deeper: refused."""

CBOR_ITEMS_MAX = 4096
"""Data items (keys, values, containers) in one CBOR item unless its format says more. Our choice: bounds the
time that a decoder written in Python spends on one input to a few milliseconds. More: refused."""

CBOR_BYTES_MAX = 64 * 1024
"""Bytes of one CBOR item unless its format says more. Our choice. Longer: refused before it is looked at."""

# --- identity ----------------------------------------------------------------------------------------------

PEER_ID_BYTES = 32
"""Bytes of an identity: an Ed25519 public key, RFC 8032, section 5.1.5. Any other length: refused."""

PEER_ID_TEXT_CHARS_MAX = 128
"""Characters of an identity's text form that are looked at. Ours has 64 or 52. Longer: refused."""

SIGNATURE_BYTES = 64
"""Bytes of an Ed25519 signature, RFC 8032, section 5.1.6. Any other length: refused."""

NETWORK_ID_BYTES = 32
"""Bytes of a network id, BLAKE3-256 of the network's name. Any other length: refused."""

NETWORK_NAME_BYTES_MAX = 64
"""UTF-8 bytes of a network's name. Our choice. Longer: MisuseError, for only our own user names networks."""

MULTIADDR_BYTES_MAX = 272
"""Bytes of one address: a DNS name of 253 and 13 around it, rounded up. Longer: refused."""

MULTIADDR_TEXT_CHARS_MAX = 300
"""Characters of an address's text form: a DNS name of 253 and what stands around it. Longer: refused."""

DNS_NAME_CHARS_MAX = 253
"""Characters of a DNS name in text. RFC 1035, section 2.3.4 (255 bytes on the wire). Longer: refused."""

DNS_LABEL_CHARS_MAX = 63
"""Characters between two dots of a DNS name. RFC 1035, section 2.3.4. Longer: refused."""

CONTACT_ADDRESSES_MAX = 16
"""Addresses in a contact. Issue of the first network: at most 16. More: refused."""

CONTACT_CAPABILITIES_MAX = 16
"""Capability tokens in a contact. Our choice. More: refused."""

CAPABILITY_CHARS_MAX = 32
"""Characters of a capability token. Our choice. Longer: refused."""

CONTACT_SEQUENCE_MAX = 2**63 - 1
"""Largest sequence number of a contact: fits a signed 64-bit column of any database. Larger: refused."""

CONTACT_ISSUED_AT_MAX = 253_402_300_799
"""Latest issue time of a contact, in Unix seconds: 9999-12-31T23:59:59Z, the last one of most calendars.
Later: refused."""

CONTACT_EXTENSIONS_MAX = 8
"""Fields of newer versions in a contact. Our choice. More: refused."""

CONTACT_EXTENSION_KEY_MIN = 32
"""Smallest key of such a field; the keys below belong to the version. Unknown below: refused."""

CONTACT_EXTENSION_KEY_MAX = 255
"""Largest key of such a field. Our choice. Larger: refused by name."""

CONTACT_EXTENSION_BYTES_MAX = 256
"""Bytes of such a field's content. Our choice. More: refused."""

CONTACT_BYTES_MAX = 8 * 1024
"""Bytes of an encoded contact. The fullest contact that the other limits allow has 7,046. Longer: refused
before decoding."""

CONTACT_TEXT_CHARS_MAX = 11_000
"""Characters of a contact as a text line: base64 of CONTACT_BYTES_MAX and the prefix. Longer: refused."""

POW_DIFFICULTY_MAX = 64
"""Leading zero bits that a network may demand; far beyond what anybody can mine. Larger: MisuseError."""

POW_NONCE_MAX = 2**64 - 1
"""Largest nonce of a proof of work: eight bytes. Larger: refused."""

# --- key file ----------------------------------------------------------------------------------------------

KEY_FILE_BYTES_MAX = 16 * 1024
"""Bytes of a key file. Ours have below 1 kB; this leaves room to recognise an RSA key and say so. Longer:
refused."""

# --- kad-dht messages --------------------------------------------------------------------------------------

KAD_MESSAGE_BYTES_MAX = 1024 * 1024 - 3
"""Bytes of one kad message: with its length in front it fills the body of a call. Our choice; libp2p programs
take 4 MiB. Longer: refused before decoding."""

KAD_KEY_BYTES_MAX = 256
"""Bytes of a message's or record's key. Our choice: ours have at most 105. Longer: refused."""

KAD_VALUE_BYTES_MAX = 64 * 1024
"""Bytes of a record's value. The issue of the directory: 64 KiB inline. Longer: refused."""

KAD_TIME_BYTES_MAX = 64
"""Bytes of the time in a record. RFC 3339 with nanoseconds and a zone has 35. Longer: refused."""

KAD_PEERS_MAX = 128
"""Peers in each of the two lists of a message. Our choice: we send at most 30 closer ones. More: refused."""

KAD_PEER_ID_BYTES_MAX = 64
"""Bytes of a peer id in a message: a multihash; ours have 38. Our choice. Longer: refused."""

KAD_ADDRESSES_MAX = 64
"""Addresses of one peer in a message. Our choice: ours have at most 16, others name relays too. More:
refused."""

KAD_ADDRESS_BYTES_MAX = 512
"""Bytes of one such address, of any kind. Our choice: relayed ones hold two peers. Longer: refused."""

KAD_NUMBER_MAX = 2**31 - 1
"""Largest number in a field of a message that we know; most are protobuf's int32 or enum. Larger: refused."""

KAD_UNKNOWN_FIELDS_MAX = 64
"""Fields that we do not know in one message, and in each peer or record in it. Our choice: bounds the time
that skipping takes. More: refused."""

PROTOBUF_VARINT_BYTES_MAX = 10
"""Bytes of a varint of protobuf: 64 bits, seven in each. protobuf.dev, "Encoding". Longer: refused."""

PROTOBUF_FIELDS_MAX = 512
"""Fields in one protobuf message, not counting those of messages in it. Our choice: the fullest kad message
has 326 (both lists of peers, what may be there once, unknown ones). More: refused where the first of them
begins, so that time goes by what a message may say and not by how often it says it."""

PROTOBUF_FIELD_MAX = 2**29 - 1
"""Largest field number of protobuf. protobuf.dev, "Assigning Field Numbers". Larger: refused."""

# --- streams of libp2p --------------------------------------------------------------------------------------

MULTISTREAM_LINE_BYTES_MAX = 1024
"""Bytes of a line of multistream-select, its line feed included. js-libp2p's limit; go and rust take more.
Longer: the stream is reset."""

LIBP2P_PROTOCOL_BYTES_MAX = 255
"""Bytes of a protocol id of libp2p. Our choice: the longest that we know of has 60. Longer: refused."""

LIBP2P_ADDRESS_BYTES_MAX = 512
"""Bytes of one address of any kind in identify and peer records. Our choice: relayed ones hold two
peers. Longer: refused."""

IDENTIFY_BYTES_MAX = 8 * 1024
"""Bytes of all identify messages of one stream together. go-libp2p and js-libp2p read 8 KiB. More: the
stream is reset."""

IDENTIFY_MESSAGES_MAX = 10
"""Messages in which a peer may identify itself. As go-libp2p. More: the stream is reset."""

IDENTIFY_PROTOCOLS_MAX = 256
"""Protocols that a peer may list. Our choice: an IPFS node lists some 30. More: refused."""

IDENTIFY_ADDRESSES_MAX = 128
"""Addresses that a peer may list, and that its peer record may hold. Our choice. More: refused."""

IDENTIFY_TEXT_BYTES_MAX = 256
"""Bytes of the agent's and the protocol's version. Our choice. Longer: refused."""

IDENTIFY_UNKNOWN_FIELDS_MAX = 64
"""Fields that we do not know in identify, in an envelope, or in a peer record. Our choice. More: refused."""

PEER_RECORD_BYTES_MAX = 8 * 1024
"""Bytes of a signed peer record: what fits into identify. Longer: refused before decoding."""

# --- pubsub messages ----------------------------------------------------------------------------------------

PUBSUB_RPC_BYTES_MAX = 1024 * 1024
"""Bytes of one RPC. go-libp2p-pubsub's default; rust-libp2p takes 64 KiB. Longer: refused before decoding."""

PUBSUB_RPC_FIELDS_MAX = 65_536
"""Fields in one RPC, those of everything in it counted. Our choice: a greeting with 10,000 topics has 50,000,
21,845 message ids fill an RPC, and what a hostile one costs stays in the tens of milliseconds. More: refused
where the first of them begins."""

PUBSUB_TOPIC_BYTES_MAX = 256
"""UTF-8 bytes of a topic. Our choice; libp2p has no bound. Longer, of our own program: MisuseError. In what a
peer says, the thing that names the topic is passed over."""

PUBSUB_DATA_BYTES_MAX = PUBSUB_RPC_BYTES_MAX - 1024
"""Bytes of data in a message: an RPC, less what can stand around them. A message in an RPC of legal size
cannot have more; our own program's: MisuseError."""

PUBSUB_AUTHOR_BYTES = 38
"""Bytes of a message's author: the identity multihash of an Ed25519 key. libp2p specs, peer-ids. Messages of
other kinds of keys are passed over, since we cannot verify them."""

PUBSUB_SEQNO_BYTES = 8
"""Bytes of a message's sequence number. libp2p specs, pubsub, "The Message": 64 bits. Messages with another
length are passed over, since implementations differ about them."""

PUBSUB_MESSAGE_ID_BYTES = PUBSUB_AUTHOR_BYTES + PUBSUB_SEQNO_BYTES
"""Bytes of a message id: author and sequence number. Ids of other lengths are passed over: they name nothing
that we would take."""

PUBSUB_PX_PEERS_MAX = 64
"""Peers of one PRUNE that are read; gossipsub's default is 16. Our choice. More are passed over."""

PUBSUB_PX_RECORD_BYTES_MAX = PEER_RECORD_BYTES_MAX
"""Bytes of a signed peer record in a PRUNE. Longer: that peer is passed over."""

# --- envelopes ---------------------------------------------------------------------------------------------

ENVELOPE_HEADER_BYTES_MAX = 256 * 1024
"""Bytes of an age file's header. Our choice: one of 64 post-quantum recipients and the fullest claim has
126,000. Longer: refused; nothing beyond it is kept."""

ENVELOPE_LINE_BYTES_MAX = 4096
"""Bytes of one line of it. Our choice: the longest that we write, a post-quantum stanza's, has 1,512. Longer:
refused."""

ENVELOPE_STANZAS_MAX = 128
"""Stanzas in it. Our choice: twice our recipients, for files of other programs. More: refused."""

ENVELOPE_RECIPIENTS_MAX = 64
"""Recipients that we seal to at once, ancestors included. Our choice. More: RecipientsError; in a claim:
refused."""

ENVELOPE_CLAIM_BYTES_MAX = 16 * 1024
"""Bytes of a sender's claim before encryption. Our choice: the fullest has 7,600. Longer: refused."""

ENVELOPE_METADATA_BYTES_MAX = 4096
"""Bytes that travel in a claim beside the payload, such as a name. Our choice. More: ClaimTooLargeError; in a
claim: refused."""

ENVELOPE_CONTEXT_BYTES_MAX = 256
"""UTF-8 bytes of each text that says what an envelope is for. Our choice. More: ClaimTooLargeError; in a
claim: refused."""

ENVELOPE_SCRYPT_WORK_MAX = 20
"""Logarithm of the work that opening by a passphrase may take: 1 GiB and four seconds. Our choice; age takes
22. Larger: refused before any work."""

# --- key chain ---------------------------------------------------------------------------------------------

KEY_DEPTH_MAX = 4
"""Levels of places below a cluster's root. Our choice (ADR 0050). Deeper: refused."""

KEY_CHILDREN_MAX = 256
"""Places right below another one, numbered from 0. Our choice (ADR 0050): bounds what a search from the root
alone must try. A higher number: refused."""

KEY_BRANCHES_MAX = 64
"""Branches of one place, one for each time that its parent answers a theft or a loss. Our choice (ADR 0050).
A higher number: refused; the parent gives the next machine a place of its own."""

KEY_EPOCHS_MAX = 1024
"""Epochs of one branch, one for each rekeying: daily for almost three years. Our choice (ADR 0050): bounds
the search from the root alone. A higher number: refused; the parent gives a new branch."""

KEY_LABEL_BYTES_MAX = 64
"""UTF-8 bytes of what people call a place. Our choice. Longer: refused."""

KEY_CLUSTERS_MAX = 256
"""Clusters of one root seed, numbered from 0. Our choice: bounds a search. A higher number: MisuseError."""

KEY_PATH_TEXT_CHARS_MAX = 128
"""Characters of a key's name in text. The longest has 40. Longer: refused."""

KEY_SECRET_BYTES_MAX = 512
"""Bytes of a branch's or an epoch's secret as a parent hands it over. The fullest has 119. Longer:
refused."""

STATEMENT_HASH_BYTES = 32
"""Bytes of a statement's id, and of every other SHA-256 hash in a statement. Any other length: refused."""

STATEMENT_BYTES_MAX = 12 * 1024
"""Bytes of a statement. A checkpoint of 256 heads has 9,100; the others have below 500. Longer: refused
before decoding."""

STATEMENT_PREVIOUS_MAX = 4
"""Statements that one statement follows directly: more than one only where a key spoke in two places at once.
Our choice. More: refused."""

STATEMENT_SEQUENCE_MAX = 2**32 - 1
"""Largest sequence number of a statement. Our choice; how many a chain holds is bounded elsewhere. Larger:
refused."""

STATEMENT_KIND_MAX = 255
"""Largest kind of a statement. Kinds that we do not know are kept without effect. Our choice. Larger:
refused."""

STATEMENT_ISSUED_AT_MAX = CONTACT_ISSUED_AT_MAX
"""Latest issue time of a statement, in Unix seconds: the end of the year 9999. Later: refused."""

STATEMENT_EXTENSIONS_MAX = 8
"""Fields of newer versions in a statement. Our choice. More: refused."""

STATEMENT_EXTENSION_BYTES_MAX = 256
"""Bytes of such a field's content. Our choice. More: refused."""

CHECKPOINT_HEADS_MAX = 256
"""Statements that a checkpoint names. Our choice. More: refused."""

CHAIN_HEADS_MAX = 2000
"""Heads that a node names when it asks what it misses. Our choice: 68 kB. More: refused."""

CHAIN_BUNDLE_STATEMENTS_MAX = 2000
"""Statements in one bundle. Our choice: with the average statement 0.7 MB. More: refused."""

CHAIN_BUNDLE_BYTES_MAX = 1_000_000
"""Bytes of one bundle of statements: fits the body of a call. Our choice. Longer: refused before decoding."""

KEY_ORDER_SEQUENCE_MAX = 2**63 - 1
"""Largest sequence number of a parent's order: fits a signed 64-bit column of any database. Larger:
refused."""

KEY_ORDER_BYTES_MAX = 512
"""Bytes of a parent's order. Ours have below 250. Longer: refused before decoding."""

# --- between nodes of clusters -----------------------------------------------------------------------------

CLUSTER_MESSAGE_BYTES_MAX = 1024 * 1024
"""Bytes of one message between nodes of clusters: what a stream of messages carries. Longer: refused before
decoding."""

CLUSTER_KIND_MAX = 2**32
"""Largest kind of such a message. Kinds that we do not know are passed over. Larger: refused."""

CLUSTER_TRUST_ENTRIES_MAX = 256
"""Entries of the list of trust in one message; longer lists take several. Our choice. More: refused."""

CLUSTER_TRUST_ENTRY_BYTES_MAX = 1024
"""Bytes of one such entry. Our choice: ours have below 500. Longer: refused before decoding."""

CLUSTER_PARCEL_BYTES_MAX = CLUSTER_MESSAGE_BYTES_MAX - 1024
"""Bytes of what one node of a cluster hands another: a message, less what stands around them. More, of our
own user: MisuseError."""

# --- meetings of clusters ----------------------------------------------------------------------------------

MEET_MESSAGE_BYTES_MAX = CHAIN_BUNDLE_BYTES_MAX + 1024
"""Bytes of one message of a meeting: a bundle of statements and what stands around it. Longer: refused before
decoding."""

MEET_NAME_BYTES_MAX = 64
"""UTF-8 bytes of what a side calls itself, as those of a label. Longer: refused."""
