package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers/seal"
)

// The data object:
//
//	8 bytes  "tercetSD"
//	1        format version
//	then blocks, each, little-endian:
//	4        length of what is stored
//	4        length of the rows in it
//	4        CRC-32C of the eight bytes before and of what is stored
//	         rows one after the other, compressed by zstd, and sealed for the
//	         image's id and the block's number if the manifest says so
//	and a block of no length at the end.
const (
	dataMagic = "tercetSD"
	// Version is the format's version. A build reads all up to its own.
	Version = 1

	blockHead = 12
	// fullBlock is how many bytes of rows are gathered in a block.
	fullBlock = 256 << 10
	// mostBlock bounds a block's rows: one that is not quite full, and the
	// largest row.
	mostBlock = fullBlock + mostRow + 1024
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// place is what block n of an image is sealed for.
func place(id string, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte("snapshot "+id+" "), n)
}

// blockWriter writes rows into blocks.
type blockWriter struct {
	w    io.Writer
	id   string
	ring *seal.Ring // nil: nothing is sealed
	zip  *zstd.Encoder
	sum  hash.Hash
	// paced is told how many bytes of rows were gathered, before they are
	// written; it may wait.
	paced func(n int) error

	rows, scratch []byte
	blocks        uint64
	size, raw     int64
}

func newBlockWriter(w io.Writer, id string, ring *seal.Ring, paced func(int) error) (*blockWriter, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	b := &blockWriter{w: w, id: id, ring: ring, zip: zip, sum: sha256.New(), paced: paced}
	return b, b.write(append([]byte(dataMagic), Version))
}

func (b *blockWriter) write(p []byte) error {
	b.sum.Write(p)
	b.size += int64(len(p))
	_, err := b.w.Write(p)
	return err
}

func (b *blockWriter) add(r *Row) error {
	if len(r.Name)+len(r.Held) > mostRow {
		return fmt.Errorf("snapshot: row of %d bytes, at most %d", len(r.Name)+len(r.Held), mostRow)
	}
	b.rows = r.append(b.rows)
	if len(b.rows) < fullBlock {
		return nil
	}
	return b.flush()
}

func (b *blockWriter) flush() error {
	if len(b.rows) == 0 {
		return nil
	}
	if err := b.paced(len(b.rows)); err != nil {
		return err
	}
	out := b.zip.EncodeAll(b.rows, append(b.scratch[:0], make([]byte, blockHead)...))
	if b.ring != nil {
		sealed := b.ring.Seal(make([]byte, blockHead, len(out)+seal.Overhead), out[blockHead:], place(b.id, b.blocks))
		out = sealed
	} else {
		b.scratch = out
	}
	b.raw += int64(len(b.rows))
	err := b.frame(out, len(b.rows))
	b.rows = b.rows[:0]
	return err
}

// frame fills in the head of a block and writes it.
func (b *blockWriter) frame(out []byte, rows int) error {
	binary.LittleEndian.PutUint32(out, uint32(len(out)-blockHead))
	binary.LittleEndian.PutUint32(out[4:], uint32(rows))
	binary.LittleEndian.PutUint32(out[8:], checksum(out[:8], out[blockHead:]))
	b.blocks++
	return b.write(out)
}

func (b *blockWriter) close() error {
	defer b.zip.Close()
	if err := b.flush(); err != nil {
		return err
	}
	err := b.frame(make([]byte, blockHead), 0)
	b.blocks-- // the last one is none
	return err
}

func checksum(head, stored []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, stored)
}

// blockReader reads the rows of blocks.
type blockReader struct {
	r    io.Reader
	id   string
	ring *seal.Ring
	zip  *zstd.Decoder
	sum  hash.Hash

	offset         int64
	blocks         uint64
	stored, opened []byte
	plain, rest    []byte
}

func newBlockReader(r io.Reader, id string, ring *seal.Ring) (*blockReader, error) {
	zip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(mostBlock), zstd.IgnoreChecksum(true))
	if err != nil {
		return nil, err
	}
	b := &blockReader{r: r, id: id, ring: ring, zip: zip, sum: sha256.New()}
	var head [len(dataMagic) + 1]byte
	if err := b.read(head[:]); err != nil {
		return nil, err
	}
	switch version := head[len(dataMagic)]; {
	case string(head[:len(dataMagic)]) != dataMagic || version == 0:
		return nil, &BlockError{What: "it does not begin as snapshots do"}
	case version > Version:
		return nil, fmt.Errorf("%w: %d, this build reads up to %d", ErrFuture, version, Version)
	}
	return b, nil
}

func (b *blockReader) close() { b.zip.Close() }

// read fills p. An end before that is [ErrTorn].
func (b *blockReader) read(p []byte) error {
	n, err := io.ReadFull(b.r, p)
	b.sum.Write(p[:n])
	b.offset += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends after %d bytes", ErrTorn, b.offset)
	}
	return err
}

// next returns the next row, whose Held is valid until the call after, or
// io.EOF behind the last.
func (b *blockReader) next() (Row, error) {
	for len(b.rest) == 0 {
		if err := b.load(); err != nil {
			return Row{}, err
		}
	}
	r, rest, err := cutRow(b.rest)
	if err != nil {
		return Row{}, &BlockError{Offset: b.offset, What: "before here: " + err.Error()}
	}
	b.rest = rest
	return r, nil
}

// load reads the next block.
func (b *blockReader) load() error {
	at := b.offset
	bad := func(what string) error { return &BlockError{Offset: at, What: what} }
	var head [blockHead]byte
	if err := b.read(head[:]); err != nil {
		return err
	}
	stored, rows := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	if stored > mostBlock || rows > mostBlock {
		return bad(fmt.Sprintf("of %d bytes with %d of rows", stored, rows))
	}
	b.stored = sized(b.stored, int(stored))
	if err := b.read(b.stored); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(head[8:]) != checksum(head[:8], b.stored) && !mutant.On(mutant.BlocksUnchecked) {
		return bad("its checksum is another")
	}
	if stored == 0 && rows == 0 {
		return io.EOF
	}
	small := b.stored
	if b.ring != nil {
		var err error
		if b.opened, err = b.ring.Open(b.opened[:0], b.stored, place(b.id, b.blocks)); err != nil {
			return fmt.Errorf("%w: block at byte %d: %w", ErrSealed, at, err)
		}
		small = b.opened
	}
	b.blocks++
	b.plain = sized(b.plain, int(rows))
	plain, err := b.zip.DecodeAll(small, b.plain[:0:rows])
	if err != nil {
		return bad(err.Error())
	}
	if len(plain) != int(rows) {
		return bad(fmt.Sprintf("%d bytes of rows, it said %d", len(plain), rows))
	}
	b.rest = plain
	return nil
}

// sized returns n bytes, b's if it has as many.
func sized(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
