package pack

import (
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// method is how a payload was made smaller; a dictionary of zstd's names itself
// in the frame.
type method byte

const (
	stored method = iota
	methodLZ4
	methodZstd

	sealedBit = 0x80
)

const (
	// least is the payload below which compression does not pay.
	least = 1 << 10
	// leastWithDictionary is that of JSON where there is a dictionary, and
	// mostWithDictionary where its help ends.
	leastWithDictionary = 64
	mostWithDictionary  = 16 << 10
	// sampled is what is tried first of a payload beyond large: what saves
	// nothing there is left alone.
	sampled = 4 << 10
	large   = 64 << 10
)

// pays reports whether small is worth unpacking, instead of size bytes.
func pays(small, size int) bool { return small < size-size/10 }

// compressor holds what compresses and restores. Safe for concurrent use.
type compressor struct {
	lz4        sync.Pool // *lz4.Compressor
	plain      *zstd.Encoder
	dictionary *zstd.Encoder // nil: none
	decoder    *zstd.Decoder
}

func newCompressor(dictionaries [][]byte) (*compressor, error) {
	c := &compressor{lz4: sync.Pool{New: func() any { return new(lz4.Compressor) }}}
	write := []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true)}
	read := []zstd.DOption{zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true)}
	var err error
	if c.plain, err = zstd.NewWriter(nil, write...); err != nil {
		return nil, err
	}
	for i, d := range dictionaries {
		read = append(read, zstd.WithDecoderDictRaw(dictionaryID(d), d))
		if i == 0 {
			if c.dictionary, err = zstd.NewWriter(nil, append(write, zstd.WithEncoderDictRaw(dictionaryID(d), d))...); err != nil {
				return nil, fmt.Errorf("dictionary: %w", err)
			}
		}
	}
	if c.decoder, err = zstd.NewReader(nil, read...); err != nil {
		return nil, fmt.Errorf("dictionaries: %w", err)
	}
	return c, nil
}

// dictionaryID is never 0, which means none.
func dictionaryID(d []byte) uint32 { return crc32.ChecksumIEEE(d) | 1 }

// compress appends p to dst, smaller, and returns how; stored, and nothing
// appended, if that does not pay.
func (c *compressor) compress(dst, p []byte) ([]byte, method) {
	if len(p) < leastWithDictionary || len(p) < least && c.dictionary == nil {
		return dst, stored
	}
	switch sniff(p) {
	case json:
		if c.dictionary != nil && len(p) <= mostWithDictionary {
			return c.zstd(c.dictionary, dst, p)
		}
		if len(p) >= least {
			return c.block(dst, p)
		}
	case text:
		if len(p) >= least {
			return c.zstd(c.plain, dst, p)
		}
	}
	return dst, stored
}

func (c *compressor) zstd(with *zstd.Encoder, dst, p []byte) ([]byte, method) {
	if len(p) > large && !pays(len(with.EncodeAll(p[:sampled], nil)), sampled) {
		return dst, stored
	}
	out := with.EncodeAll(p, dst)
	if !pays(len(out)-len(dst), len(p)) {
		return dst, stored
	}
	return out, methodZstd
}

func (c *compressor) block(dst, p []byte) ([]byte, method) {
	lz := c.lz4.Get().(*lz4.Compressor)
	defer c.lz4.Put(lz)
	// No room for what does not pay: lz4 gives up when it is used up.
	room := make([]byte, len(p)-len(p)/10)
	if len(p) > large {
		if n, err := lz.CompressBlock(p[:sampled], room); err != nil || n == 0 || !pays(n, sampled) {
			return dst, stored
		}
	}
	n, err := lz.CompressBlock(p, room)
	if err != nil || n == 0 || !pays(n, len(p)) {
		return dst, stored
	}
	return append(dst, room[:n]...), methodLZ4
}

// restore appends to dst, which has room for size bytes, what m made small. It
// takes no more room than that.
func (c *compressor) restore(dst, p []byte, m method, size int) ([]byte, error) {
	from := len(dst)
	room := dst[from : from : from+size]
	switch m {
	case stored:
		if len(p) != size {
			return nil, fmt.Errorf("%w: %d bytes, says %d", ErrDamaged, len(p), size)
		}
		return append(dst, p...), nil
	case methodLZ4:
		n, err := lz4.UncompressBlock(p, room[:size])
		if err != nil || n != size {
			return nil, fmt.Errorf("%w: lz4 yields %d bytes of %d: %w", ErrDamaged, n, size, err)
		}
		return dst[:from+size], nil
	case methodZstd:
		out, err := c.decoder.DecodeAll(p, room)
		if err != nil || len(out) != size {
			return nil, fmt.Errorf("%w: zstd yields %d bytes of %d: %w", ErrDamaged, len(out), size, err)
		}
		return dst[:from+size], nil
	}
	return nil, fmt.Errorf("%w: method %d is not known", ErrDamaged, m)
}
