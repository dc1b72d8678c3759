package main

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/zeebo/xxh3"
)

// trace is a recorded sequence of keys that somebody asked for.
type trace struct {
	name string
	file string // below the directory of traces
	read func(io.Reader) ([]uint64, error)
}

// traces are those of which the anchors say what known policies reach. Who
// recorded them, and their licences, stands beside the files.
var traces = []trace{
	{"shop-orm-night", "shop-cache2k/orm-night.trace.xz", words},
	{"shop-web07", "shop-cache2k/web07.trace.xz", words},
	{"arc-P3", "arc/P3.lis.zst", runs},
	{"arc-OLTP", "arc/OLTP.lis.zst", runs},
	{"cp-io", "cloudphysics-io/cloudPhysicsIO.csv.gz", column(",", 4)},
	{"nasa-95-08-01", "nasa-http-1995/nasa_19950801.tsv.gz", column("\t", 4)},
	{"yoochoose-100k", "yoochoose-100k/train_full.tsv.gz", column("\t", 1)},
	{"lirs-sprite", "lirs/sprite.trace.gz", column(" ", 0)},
	{"lirs-2_pools", "lirs/2_pools.trace.gz", column(" ", 0)},
	{"lirs-multi1", "lirs/multi1.trace.gz", column(" ", 0)},
	{"lirs-multi2", "lirs/multi2.trace.gz", column(" ", 0)},
	{"lirs-loop", "lirs/loop.trace.gz", column(" ", 0)},
}

func (t trace) load(dir string) (keys []uint64, err error) {
	f, err := os.Open(filepath.Join(dir, t.file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader
	switch filepath.Ext(t.file) {
	case ".gz":
		r, err = gzip.NewReader(f)
	case ".xz":
		r, err = xz.NewReader(bufio.NewReader(f))
	case ".zst":
		r, err = zstd.NewReader(f)
	}
	if err == nil {
		keys, err = t.read(bufio.NewReader(r))
	}
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", t.name, err)
	}
	return keys, nil
}

// words reads keys of four bytes each.
func words(r io.Reader) (keys []uint64, err error) {
	var b [4]byte
	for {
		if _, err := io.ReadFull(r, b[:]); errors.Is(err, io.EOF) {
			return keys, nil
		} else if err != nil {
			return nil, err
		}
		keys = append(keys, uint64(binary.BigEndian.Uint32(b[:])))
	}
}

// runs reads lines of which each asks for a number of blocks in a row.
func runs(r io.Reader) (keys []uint64, err error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		var from, n uint64
		if _, err := fmt.Sscan(s.Text(), &from, &n); err != nil {
			return nil, err
		}
		for i := range n {
			keys = append(keys, from+i)
		}
	}
	return keys, s.Err()
}

// column reads one field of each line; lines that have none, or whose field is
// a heading, are skipped.
func column(separator string, field int) func(io.Reader) ([]uint64, error) {
	return func(r io.Reader) (keys []uint64, err error) {
		s := bufio.NewScanner(r)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			fields := strings.Split(strings.TrimSpace(s.Text()), separator)
			if len(fields) <= field || fields[field] == "*" || headings[fields[field]] {
				continue
			}
			key, err := strconv.ParseUint(fields[field], 10, 64)
			if err != nil {
				key = xxh3.HashString(fields[field])
			}
			keys = append(keys, key)
		}
		return keys, s.Err()
	}
}

var headings = map[string]bool{"lbn": true, "url": true, "ItemId": true}

// anchors reads the hit ratios, in percent, that an independent simulator found
// for S3-FIFO: by trace and by the cache's share of all keys, in percent.
func anchors(dir string) (map[string]map[int]float64, error) {
	b, err := os.ReadFile(filepath.Join(dir, "hit_ratio_anchors.csv"))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	at := -1
	for i, name := range strings.Split(lines[0], ",") {
		if name == "s3fifo" {
			at = i
		}
	}
	out := make(map[string]map[int]float64)
	for _, line := range lines[1:] {
		fields := strings.Split(line, ",")
		if at < 0 || len(fields) <= at {
			return nil, errors.New("hit_ratio_anchors.csv has no column s3fifo")
		}
		share, err1 := strconv.Atoi(fields[1])
		ratio, err2 := strconv.ParseFloat(fields[at], 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if out[fields[0]] == nil {
			out[fields[0]] = make(map[int]float64)
		}
		out[fields[0]][share] = ratio
	}
	return out, nil
}
