package replay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// ErrArchive reports a file that is no archive, or no whole one.
var ErrArchive = errors.New("unusable archive")

// ArchiveError says where an archive is unusable and why. It is an
// [ErrArchive].
type ArchiveError struct {
	Line   int // counted from 1
	Reason string
}

func (e *ArchiveError) Error() string {
	return fmt.Sprintf("%v: line %d: %s", ErrArchive, e.Line, e.Reason)
}

func (e *ArchiveError) Unwrap() error { return ErrArchive }

const (
	// mostLine bounds a line in bytes: a record of the largest size, as text and
	// as people read it.
	mostLine = 16 << 20
	// indexEvery is the distance, in records, of places that are found without
	// reading; a list of a million records then takes 250 KiB.
	indexEvery = 64
	readBatch  = 512
)

// Reader reads an archive. It is safe for concurrent use.
type Reader struct {
	file  io.ReaderAt
	head  Head
	parts []archived
}

// archived is one partition's part of an archive.
type archived struct {
	first, last events.Mark
	// places holds the offset of each indexEvery-th record, and of the first.
	places []place
}

type place struct {
	at     events.Position
	offset int64
	line   int
}

// OpenArchive reads an archive from its first byte to its last, and returns a
// reader if all of it is whole: its lines, their order, their number. Errors are
// *[ArchiveError], or the file's.
func OpenArchive(file io.ReaderAt) (*Reader, error) {
	r := &Reader{file: file}
	l := r.lines(0, 1)
	text, err := l.next()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &r.head); err != nil || r.head.Archive != archiveMark {
		return nil, l.fault("not an archive of records; make one with: tercet replay --into file:PATH")
	}
	if r.head.Version != archiveVersion {
		return nil, l.fault(fmt.Sprintf("version %d, this build reads %d", r.head.Version, archiveVersion))
	}
	if err := r.head.Settings.Validate(); err != nil {
		return nil, l.fault(err.Error())
	}
	r.parts = make([]archived, r.head.Settings.Partitions)
	return r, r.scan(l)
}

// scan reads all records and notes where they lie.
func (r *Reader) scan(l *lines) error {
	for records := uint64(0); ; records++ {
		offset := l.offset
		text, err := l.next()
		if err != nil {
			return err
		}
		d, partition, end, err := r.decode(l, text)
		if err != nil {
			return err
		}
		if end != nil {
			if end.Records != records {
				return l.fault(fmt.Sprintf("says that there are %d records, there are %d", end.Records, records))
			}
			if rest, err := l.next(); err == nil || len(rest) > 0 {
				return l.fault("something stands behind the last line")
			}
			return nil
		}
		p := &r.parts[partition]
		switch {
		case p.last.Position == 0:
			p.first = d.Mark
		case d.Position <= p.last.Position:
			return l.fault(fmt.Sprintf("position %d behind position %d", d.Position, p.last.Position))
		case d.Position != p.last.Position+1 && !r.head.Filtered:
			return l.fault(fmt.Sprintf("position %d behind position %d: records are missing", d.Position, p.last.Position))
		}
		p.last = d.Mark
		if n := len(p.places); n == 0 || d.Position >= p.places[n-1].at+indexEvery {
			p.places = append(p.places, place{d.Position, offset, l.line})
		}
	}
}

// Head returns the archive's first line.
func (r *Reader) Head() Head { return r.head }

// Source returns the records of a partition, 0 to Head().Settings.Partitions-1.
func (r *Reader) Source(partition int) Source { return archiveSource{r, partition} }

// decode reads one line as a record, or as the last one.
func (r *Reader) decode(l *lines, text []byte) (d events.Delivery, partition int, end *tail, err error) {
	var v struct {
		line
		tail
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return d, 0, nil, l.fault("not a record: " + err.Error())
	}
	if v.End {
		return d, 0, &v.tail, nil
	}
	if v.Partition < 0 || v.Partition >= len(r.parts) || v.Position == 0 {
		return d, 0, nil, l.fault(fmt.Sprintf("record at %d/%d, in a domain of %d partitions", v.Partition, v.Position, len(r.parts)))
	}
	id, err := events.ParseID(v.ID)
	if err != nil {
		return d, 0, nil, l.fault(err.Error())
	}
	d.Mark = events.Mark{Position: v.Position, ID: id, Time: v.Time.UnixNano()}
	d.Data = v.line.Record
	return d, v.Partition, nil, nil
}

func (r *Reader) lines(offset int64, line int) *lines {
	from := io.NewSectionReader(r.file, offset, 1<<62)
	return &lines{in: bufio.NewReaderSize(from, 1<<18), offset: offset, line: line - 1}
}

// lines reads line after line and checks the sums.
type lines struct {
	in     *bufio.Reader
	offset int64 // of the next line
	line   int   // of the last one read
	long   []byte
}

func (l *lines) fault(reason string) error { return &ArchiveError{Line: l.line, Reason: reason} }

// next returns the next line without its end, valid until the next call.
func (l *lines) next() ([]byte, error) {
	l.line++
	text, err := l.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = append(l.long[:0], text...)
		for errors.Is(err, bufio.ErrBufferFull) && len(l.long) <= mostLine {
			text, err = l.in.ReadSlice('\n')
			l.long = append(l.long, text...)
		}
		text = l.long
	}
	switch {
	case len(text) > mostLine:
		return nil, l.fault(fmt.Sprintf("longer than %d bytes", mostLine))
	case errors.Is(err, io.EOF) && len(text) == 0:
		return nil, l.fault("the archive ends without its last line: it was cut short, or its making was interrupted")
	case errors.Is(err, io.EOF):
		return text, l.fault("cut short within the line")
	case err != nil:
		return nil, fmt.Errorf("read archive: line %d: %w", l.line, err)
	}
	l.offset += int64(len(text))
	text = text[:len(text)-1]
	if !whole(text) && !mutant.On(mutant.ArchiveUnchecked) {
		return nil, l.fault("does not have the sum that it says: it is damaged, or was changed")
	}
	return text, nil
}

// whole reports whether a line has the sum that it says.
func whole(text []byte) bool {
	const behind = len(sumField) + 8 + len(`"}`)
	if len(text) < behind {
		return false
	}
	front, back := text[:len(text)-behind], text[len(text)-behind:]
	sum, err := strconv.ParseUint(string(back[len(sumField):len(sumField)+8]), 16, 32)
	return err == nil && bytes.HasPrefix(back, []byte(sumField)) && bytes.HasSuffix(back, []byte(`"}`)) &&
		crc32.Checksum(front, castagnoli) == uint32(sum)
}

// archiveSource is one partition of an archive.
type archiveSource struct {
	r         *Reader
	partition int
}

var _ Source = archiveSource{}

// Bounds implements [Source].
func (s archiveSource) Bounds(context.Context) (first, last events.Mark, err error) {
	p := s.r.parts[s.partition]
	return p.first, p.last, nil
}

// MarkAt implements [Source].
func (s archiveSource) MarkAt(ctx context.Context, at events.Position) (m events.Mark, err error) {
	err = s.walk(ctx, at, func(d events.Delivery) bool {
		if d.Position == at {
			m = d.Mark
		}
		return d.Position < at
	})
	return m, err
}

// Read implements [Source]. Of a filtered archive it reads what there is.
func (s archiveSource) Read(ctx context.Context, first, last events.Position, sink events.Sink) error {
	if first == 0 || last < first {
		return fmt.Errorf("%w: read from %d to %d", events.ErrInvalid, first, last)
	}
	if p := s.r.parts[s.partition]; first < p.first.Position || p.last.Position == 0 {
		return &events.GapError{After: first - 1, First: p.first.Position, Retained: p.first.Position}
	}
	batch := make([]events.Delivery, 0, readBatch)
	var failed error
	flush := func() bool {
		if len(batch) > 0 && failed == nil {
			failed = sink(batch)
		}
		clear(batch)
		batch = batch[:0]
		return failed == nil
	}
	err := s.walk(ctx, first, func(d events.Delivery) bool {
		if d.Position > last {
			return false
		}
		if d.Position >= first {
			batch = append(batch, d)
		}
		return (len(batch) < readBatch || flush()) && d.Position < last
	})
	if err != nil {
		return err
	}
	flush()
	return failed
}

// walk calls fn with records from a little before at, until it returns false.
func (s archiveSource) walk(ctx context.Context, at events.Position, fn func(events.Delivery) bool) error {
	p := s.r.parts[s.partition]
	if p.last.Position < at {
		return nil
	}
	from := p.places[0]
	for _, x := range p.places {
		if x.at > at {
			break
		}
		from = x
	}
	l := s.r.lines(from.offset, from.line)
	for n := 0; ; n++ {
		if n%readBatch == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		text, err := l.next()
		if err != nil {
			return err
		}
		d, partition, end, err := s.r.decode(l, text)
		if err != nil || end != nil {
			return err
		}
		if partition == s.partition && !fn(d) {
			return nil
		}
	}
}
