package replay

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// archiveVersion is the only one there is. A reader refuses others.
const archiveVersion = 1

// archiveMark is what an archive begins with, so that no other NDJSON is taken
// for one.
const archiveMark = "tercet"

// Head is an archive's first line: what its records were taken from.
type Head struct {
	Archive  string          `json:"archive"`
	Version  int             `json:"version"`
	Domain   string          `json:"domain"`
	Settings events.Settings `json:"settings"`
	// Filtered: records were left out, so that it is no log any more. It can be
	// looked at, and says nothing about what is not in it.
	Filtered bool      `json:"filtered"`
	Made     time.Time `json:"made"`
}

// line is one record in an archive: as people read it, and as it is.
type line struct {
	View
	Record []byte `json:"record"`
}

// tail is an archive's last line.
type tail struct {
	End     bool   `json:"end"`
	Records uint64 `json:"records"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumField is what stands behind a line's own fields: the CRC-32C, in eight
// hexadecimal digits, of all bytes of the line in front of it.
const sumField = `,"sum":"`

// Archive writes an archive: NDJSON, one record a line, readable, with the
// encoded record and a checksum. It is a [Target] and not safe for concurrent
// use.
type Archive struct {
	w       *bufio.Writer
	records uint64
	err     error
}

var _ Target = (*Archive)(nil)

// NewArchive begins an archive on w. End ends it: without that it is refused as
// torn.
func NewArchive(w io.Writer, h Head) (*Archive, error) {
	h.Archive, h.Version, h.Made = archiveMark, archiveVersion, h.Made.UTC()
	a := &Archive{w: bufio.NewWriterSize(w, 1<<18)}
	a.write(h)
	return a, a.err
}

// Take implements [Target].
func (a *Archive) Take(_ context.Context, partition int, items []Item) error {
	for _, i := range items {
		a.records++
		a.write(line{View: viewOf(partition, i.Delivery, i.Record, i.Err), Record: i.Data})
		if a.err != nil {
			return a.err
		}
	}
	return nil
}

// End writes the last line. It does not close what the archive was begun on.
func (a *Archive) End() error {
	a.write(tail{End: true, Records: a.records})
	if a.err == nil {
		a.err = a.w.Flush()
	}
	return a.err
}

func (a *Archive) write(v any) {
	if a.err != nil {
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		a.err = fmt.Errorf("write archive: %w", err)
		return
	}
	if _, err := a.w.Write(summed(b[:len(b)-1])); err != nil {
		a.err = fmt.Errorf("write archive: %w", err)
	}
}

// summed returns a line that ends with its sum, given its front: an object
// without its last brace.
func summed(front []byte) []byte {
	return fmt.Appendf(front, `%s%08x"}`+"\n", sumField, crc32.Checksum(front, castagnoli))
}
