package snapshot

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Kind says what an image holds.
type Kind string

const (
	// Full is everything that a node keeps.
	Full Kind = "full"
	// Fences is what judges copies, without any: enough for a process that
	// keeps few copies itself, and small.
	Fences Kind = "fences"
)

// Place is where an image stands in one partition's log.
type Place struct {
	Epoch events.Epoch
	// Mark is the last record applied.
	Mark events.Mark
	// Digest is the rolling digest there.
	Digest events.Digest
	// Horizon is the position below which births are refused; Floor the fence
	// of keys without a row.
	Horizon, Floor events.Position
	// Members and Brackets count who was there and what was open.
	Members, Brackets int
}

// Manifest describes an image.
type Manifest struct {
	ID     string
	Domain string
	Node   string // who made it
	Kind   Kind
	// Base is the image that this one tells the differences from, with its Sum;
	// empty: none.
	Base, BaseSum string
	// Depth is how many bases stand behind it.
	Depth      int
	Created    time.Time
	Partitions []Place

	Sealed bool
	// Rows counts what the image says with its bases, Copies those of them that
	// are copies.
	Rows, Copies uint64
	// Written counts the rows in its own data, RawBytes their size, Size that of
	// the data object, Blocks the blocks in it.
	Written, Blocks uint64
	RawBytes, Size  int64
	// Sum is the SHA-256 of the data object, in hexadecimal digits.
	Sum string
}

// The manifest object is a line "tercet snapshot manifest <version> <CRC-32C of
// the rest>" and a JSON document, for people too.
const (
	manifestMagic = "tercet snapshot manifest "
	mostManifest  = 1 << 20
)

// wire forms: identities as their texts, so that a person can compare them.
type (
	manifestWire struct {
		ID         string      `json:"id"`
		Domain     string      `json:"domain"`
		Node       string      `json:"node"`
		Kind       Kind        `json:"kind"`
		Base       string      `json:"base,omitempty"`
		BaseSum    string      `json:"base_sum,omitempty"`
		Depth      int         `json:"depth,omitempty"`
		Created    int64       `json:"created_unix_ms"`
		Partitions []placeWire `json:"partitions"`
		Sealed     bool        `json:"sealed,omitempty"`
		Rows       uint64      `json:"rows"`
		Copies     uint64      `json:"copies"`
		Written    uint64      `json:"rows_written"`
		Blocks     uint64      `json:"blocks"`
		RawBytes   int64       `json:"raw_bytes"`
		Size       int64       `json:"bytes"`
		Sum        string      `json:"sha256"`
	}
	placeWire struct {
		Epoch    string          `json:"epoch"`
		Position events.Position `json:"position"`
		Record   string          `json:"record"`
		Time     int64           `json:"time_unix_ns"`
		Digest   string          `json:"digest"`
		Horizon  events.Position `json:"horizon"`
		Floor    events.Position `json:"floor"`
		Members  int             `json:"members"`
		Brackets int             `json:"open_brackets"`
	}
)

// MarshalJSON writes m as its object has it.
func (m Manifest) MarshalJSON() ([]byte, error) { return json.Marshal(m.wire()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *Manifest) UnmarshalJSON(b []byte) error {
	var w manifestWire
	err := json.Unmarshal(b, &w)
	if err == nil {
		*m, err = w.manifest()
	}
	return err
}

// AppendManifest appends m's object to dst.
func AppendManifest(dst []byte, m Manifest) ([]byte, error) {
	body, err := json.MarshalIndent(m.wire(), "", "  ")
	if err != nil {
		return dst, err
	}
	body = append(body, '\n')
	dst = fmt.Appendf(dst, "%s%d %08x\n", manifestMagic, Version, crc32.Checksum(body, castagnoli))
	return append(dst, body...), nil
}

func (m *Manifest) wire() manifestWire {
	w := manifestWire{
		ID: m.ID, Domain: m.Domain, Node: m.Node, Kind: m.Kind, Base: m.Base, BaseSum: m.BaseSum, Depth: m.Depth,
		Created: m.Created.UnixMilli(), Sealed: m.Sealed, Rows: m.Rows, Copies: m.Copies, Written: m.Written,
		Blocks: m.Blocks, RawBytes: m.RawBytes, Size: m.Size, Sum: m.Sum,
	}
	for _, p := range m.Partitions {
		w.Partitions = append(w.Partitions, placeWire{
			Epoch: p.Epoch.String(), Position: p.Mark.Position, Record: p.Mark.ID.String(), Time: p.Mark.Time,
			Digest: hex.EncodeToString(p.Digest[:]), Horizon: p.Horizon, Floor: p.Floor, Members: p.Members, Brackets: p.Brackets,
		})
	}
	return w
}

// ParseManifest reads a manifest object. Its errors are [ErrTorn], [ErrCorrupt],
// [ErrForeign] and [ErrFuture].
func ParseManifest(object []byte) (Manifest, error) {
	head, body, whole := bytes.Cut(object, []byte("\n"))
	line, ours := strings.CutPrefix(string(head), manifestMagic)
	switch {
	case !ours && len(object) < len(manifestMagic) && strings.HasPrefix(manifestMagic, string(object)), ours && !whole:
		return Manifest{}, fmt.Errorf("%w: its manifest ends after %d bytes", ErrTorn, len(object))
	case !ours:
		return Manifest{}, fmt.Errorf("%w: its manifest does not begin as manifests do", ErrForeign)
	}
	number, sum, _ := strings.Cut(line, " ")
	version, err := strconv.Atoi(number)
	switch {
	case err != nil || version < 1:
		return Manifest{}, fmt.Errorf("%w: its manifest's version is %q", ErrCorrupt, number)
	case version > Version:
		return Manifest{}, fmt.Errorf("%w: %d, this build reads up to %d", ErrFuture, version, Version)
	case sum != fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)):
		if !bytes.HasSuffix(body, []byte("\n}\n")) {
			return Manifest{}, fmt.Errorf("%w: its manifest ends after %d bytes", ErrTorn, len(object))
		}
		return Manifest{}, fmt.Errorf("%w: the checksum of its manifest is another", ErrCorrupt)
	}
	var w manifestWire
	if err := json.Unmarshal(body, &w); err != nil {
		return Manifest{}, fmt.Errorf("%w: its manifest: %w", ErrCorrupt, err)
	}
	return w.manifest()
}

func (w *manifestWire) manifest() (Manifest, error) {
	m := Manifest{
		ID: w.ID, Domain: w.Domain, Node: w.Node, Kind: w.Kind, Base: w.Base, BaseSum: w.BaseSum, Depth: w.Depth,
		Created: time.UnixMilli(w.Created).UTC(), Sealed: w.Sealed, Rows: w.Rows, Copies: w.Copies, Written: w.Written,
		Blocks: w.Blocks, RawBytes: w.RawBytes, Size: w.Size, Sum: w.Sum,
	}
	if m.Kind != Full && m.Kind != Fences {
		return Manifest{}, fmt.Errorf("%w: of kind %q", ErrFuture, m.Kind)
	}
	if len(w.Partitions) == 0 || !validID(m.ID) || m.Base != "" && !validID(m.Base) {
		return Manifest{}, fmt.Errorf("%w: its manifest lacks what it needs", ErrCorrupt)
	}
	for _, p := range w.Partitions {
		place := Place{
			Mark:    events.Mark{Position: p.Position, Time: p.Time},
			Horizon: p.Horizon, Floor: p.Floor, Members: p.Members, Brackets: p.Brackets,
		}
		var err1, err2 error
		place.Epoch, err1 = events.ParseEpoch(p.Epoch)
		place.Mark.ID, err2 = events.ParseID(p.Record)
		n, err3 := hex.Decode(place.Digest[:], []byte(clip(p.Digest, 2*len(place.Digest))))
		if err1 != nil || err2 != nil || err3 != nil || n != len(place.Digest) {
			return Manifest{}, fmt.Errorf("%w: a place in its manifest is none", ErrCorrupt)
		}
		m.Partitions = append(m.Partitions, place)
	}
	return m, nil
}

func clip(s string, n int) string { return s[:min(len(s), n)] }

// Ids name images by the time of their making, so that the order of names is
// theirs: 20260102T030405.678Z-89abcdef.
const idTime = "20060102T150405.000Z"

func newID(at time.Time, random [4]byte) string {
	return at.UTC().Format(idTime) + "-" + hex.EncodeToString(random[:])
}

// idCreated returns when an image of this id was begun.
func idCreated(id string) (time.Time, bool) {
	stamp, random, ok := strings.Cut(id, "-")
	if !ok || len(random) != 8 || strings.Trim(random, "0123456789abcdef") != "" {
		return time.Time{}, false
	}
	at, err := time.Parse(idTime, stamp)
	return at, err == nil && at.Format(idTime) == stamp
}

func validID(id string) bool {
	_, ok := idCreated(id)
	return ok
}
