package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress tells on a terminal how far something long has come, a few times a
// second on one line. Where there is no terminal it says nothing.
type progress struct {
	out   io.Writer // nil: nobody looks
	what  string
	began time.Time
	told  time.Time
	now   func() time.Time
}

const progressEvery = 250 * time.Millisecond

func newProgress(out io.Writer, what string) *progress {
	p := &progress{what: what, now: time.Now}
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.out = out
		}
	}
	p.began = p.now()
	return p
}

// at says that done of all has been done; all is 0 where nobody knows.
func (p *progress) at(done, all uint64) {
	if p.out == nil {
		return
	}
	now := p.now()
	if now.Sub(p.told) < progressEvery {
		return
	}
	p.told = now
	fmt.Fprintf(p.out, "\r\x1b[K%s", p.line(done, all, now.Sub(p.began)))
}

func (p *progress) line(done, all uint64, took time.Duration) string {
	perSecond := float64(done) / max(took.Seconds(), 0.001)
	s := fmt.Sprintf("%d %s, %.0f/s", done, p.what, perSecond)
	if all == 0 || done == 0 {
		return s
	}
	left := time.Duration(float64(all-min(done, all)) / perSecond * float64(time.Second))
	return fmt.Sprintf("%s, %.0f %%, %v left", s, 100*float64(done)/float64(all), left.Round(time.Second))
}

// end clears the line.
func (p *progress) end() {
	if p.out != nil && !p.told.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
