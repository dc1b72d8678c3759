package input

import (
	"regexp"
	"strconv"
	"strings"
)

// extentBlocks is how many neighbouring blocks share a prefix, as the blocks
// of a file or table do.
const extentBlocks = 64

// blockKey names a block within its extent: block:<extent>:<number>.
func blockKey(n uint64) string {
	return "block:" + strconv.FormatUint(n/extentBlocks, 10) + ":" + strconv.FormatUint(n, 10)
}

var (
	arcLine  = regexp.MustCompile(`^\d+ \d+ \d+ \d+$`)
	lirsLine = regexp.MustCompile(`^(\d+|\*)$`)
)

// readARC reads a trace of the ARC paper's: each line asks for count blocks
// from start on.
func readARC(s *source, o Options) (*Workload, error) {
	t := newTrace(o, nil)
	err := s.each(t.more, func(line string) error {
		f := strings.Fields(line)
		if len(f) != 4 {
			return s.malformed("%d fields, want 4: start, count, ignored, number", len(f))
		}
		start, err := strconv.ParseUint(f[0], 10, 63)
		if err != nil {
			return s.malformed("start %q: want a block's number", clip(f[0]))
		}
		count, err := strconv.ParseUint(f[1], 10, 32)
		if err != nil {
			return s.malformed("count %q: want a number of blocks", clip(f[1]))
		}
		for i := uint64(0); i < count && t.more(); i++ {
			t.read(blockKey(start + i))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t.finish(s.path, "block reads of an ARC trace")
}

// readLIRS reads a trace of the LIRS paper's: a block's number a line, and
// breakpoints, which are passed over.
func readLIRS(s *source, o Options) (*Workload, error) {
	t := newTrace(o, nil)
	err := s.each(t.more, func(line string) error {
		line = strings.TrimSpace(line)
		if line == "" || line == "*" {
			return nil
		}
		n, err := strconv.ParseUint(line, 10, 63)
		if err != nil {
			return s.malformed("%q: want a block's number or *", clip(line))
		}
		t.read(blockKey(n))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t.finish(s.path, "block reads of a LIRS trace")
}

// The SCSI operations of a block I/O trace, in hexadecimal.
var (
	scsiReads  = map[string]bool{"8": true, "08": true, "28": true, "a8": true, "88": true}
	scsiWrites = map[string]bool{"a": true, "0a": true, "2a": true, "aa": true, "8a": true}
)

// readBlockIO reads block I/O with its writes, which are real changes.
func readBlockIO(s *source, o Options) (*Workload, error) {
	if err := s.skipHeader(); err != nil {
		return nil, err
	}
	t := newTrace(o, nil)
	other := 0
	err := s.each(t.more, func(line string) error {
		f := strings.Split(line, ",")
		if len(f) != 5 {
			return s.malformed("%d fields, want 5: version,time,op,size,lbn", len(f))
		}
		at, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return s.malformed("time %q: want seconds", clip(f[1]))
		}
		block, err := strconv.ParseUint(f[4], 10, 63)
		if err != nil {
			return s.malformed("lbn %q: want a block's number", clip(f[4]))
		}
		t.elapsed(at)
		switch {
		case scsiReads[f[2]]:
			t.read(blockKey(block))
		case scsiWrites[f[2]]:
			t.write(blockKey(block))
		default:
			other++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	w, err := t.finish(s.path, "block I/O of a virtual disk, with its real writes")
	if err == nil && other > 0 {
		w.LeftOut = append(w.LeftOut, strconv.Itoa(other)+" operations that neither read nor write")
	}
	return w, err
}
