package input

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine bounds a line of text.
const maxLine = 64 << 10

// source is an opened input that knows where it is.
type source struct {
	path string
	r    *bufio.Reader
	line int // of the last one read, from 1
	buf  []byte
}

// next returns the next line without its end, valid until the next call. It
// returns io.EOF after the last.
func (s *source) next() (string, error) {
	s.buf = s.buf[:0]
	for {
		part, err := s.r.ReadSlice('\n')
		s.buf = append(s.buf, part...)
		switch {
		case len(s.buf) > maxLine:
			s.line++
			return "", s.malformed("a line of more than %d bytes", maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			s.line++
			return "", s.broken(err)
		case len(s.buf) == 0:
			return "", io.EOF
		}
		s.line++
		return strings.TrimRight(string(s.buf), "\r\n"), nil
	}
}

// each calls take with every line until the end, an error, or take says that
// it has enough.
func (s *source) each(more func() bool, take func(line string) error) error {
	for more() {
		line, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := take(line); err != nil {
			return err
		}
	}
	return nil
}

// skipHeader passes over the first line, which the format was recognised by.
func (s *source) skipHeader() error {
	_, err := s.next()
	return err
}

func (s *source) malformed(format string, args ...any) error {
	return &PlaceError{Path: s.path, Line: s.line, Reason: fmt.Sprintf(format, args...)}
}

// broken reports content that could not be read or unpacked.
func (s *source) broken(err error) error {
	return s.malformed("after %d lines or records: %v", s.line, err)
}
