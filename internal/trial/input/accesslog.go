package input

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// request is one line of an access log, whatever its format.
type request struct {
	at     time.Time
	method string
	url    string
	status int
	bytes  int
	sized  bool // bytes is known
}

// accessLog plays an access log: a GET that found something reads the URL, and
// a URL that is suddenly answered in another size was changed before.
type accessLog struct {
	t     *trace
	sizes map[string]int
	other int // requests that read nothing
}

func newAccessLog(o Options) *accessLog {
	return &accessLog{t: newTrace(o, directoryTags), sizes: map[string]int{}}
}

// directoryTags gives a page the tag of the directory it lies in.
func directoryTags(key string) []string {
	url := strings.TrimPrefix(key, "page:")
	i := strings.LastIndexByte(url, '/')
	if i < 0 {
		return nil
	}
	tag := "dir:" + url[:i+1]
	if len(tag) > maxTag {
		return nil
	}
	return []string{tag}
}

const maxTag = 256

func (l *accessLog) take(r request) {
	if r.method != "GET" || r.status != 200 && r.status != 304 {
		l.other++
		return
	}
	key := "page:" + r.url
	l.t.at(r.at)
	if r.status == 200 && r.sized {
		if last, ok := l.sizes[key]; ok && last != r.bytes {
			l.t.write(key)
		}
		l.sizes[key] = r.bytes
	}
	l.t.read(key)
}

func (l *accessLog) finish(path, name string) (*Workload, error) {
	w, err := l.t.finish(path, name)
	if err == nil && l.other > 0 {
		w.LeftOut = append(w.LeftOut, strconv.Itoa(l.other)+" requests that are no GET, or were not answered with 200 or 304")
	}
	return w, err
}

// readLogTSV reads an access log as tab-separated values: host, logname, time
// in Unix seconds, method, URL, response, bytes, referer, user agent.
func readLogTSV(s *source, o Options) (*Workload, error) {
	if err := s.skipHeader(); err != nil {
		return nil, err
	}
	l := newAccessLog(o)
	err := s.each(l.t.more, func(line string) error {
		f := strings.Split(line, "\t")
		if len(f) < 7 {
			return s.malformed("%d fields, want at least 7 separated by tabs: host, logname, time, method, url, response, bytes", len(f))
		}
		at, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil {
			return s.malformed("time %q: want Unix seconds", clip(f[2]))
		}
		r := request{at: time.Unix(at, 0).UTC(), method: f[3], url: f[4]}
		if r.status, err = strconv.Atoi(f[5]); err != nil {
			return s.malformed("response %q: want a status such as 200", clip(f[5]))
		}
		if r.bytes, r.sized, err = size(f[6]); err != nil {
			return s.malformed("bytes %q: want a number, - or nothing", clip(f[6]))
		}
		l.take(r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l.finish(s.path, "an access log")
}

// size reads a response's size; - and nothing stand for one that is unknown.
func size(s string) (n int, known bool, err error) {
	if s == "" || s == "-" {
		return 0, false, nil
	}
	n, err = strconv.Atoi(s)
	return n, err == nil, err
}

// commonLog is the Common Log Format, and the beginning of the Combined one:
// host ident user [time] "request" status bytes.
var commonLog = regexp.MustCompile(`^\S+ \S+ .*?\[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)`)

const commonLogTime = "02/Jan/2006:15:04:05 -0700"

func readCommonLog(s *source, o Options) (*Workload, error) {
	l := newAccessLog(o)
	err := s.each(l.t.more, func(line string) error {
		if line == "" {
			return nil
		}
		m := commonLog.FindStringSubmatch(line)
		if m == nil {
			return s.malformed(`want host ident user [time] "request" status bytes, have %q`, clip(line))
		}
		at, err := time.Parse(commonLogTime, m[1])
		if err != nil {
			return s.malformed("time %q: want it as in [10/Oct/2000:13:55:36 -0700]", clip(m[1]))
		}
		// A request line that is not three words is what somebody sent to a
		// server, not a fault of the log: it reads nothing.
		r := request{at: at.UTC()}
		if words := strings.Fields(m[2]); len(words) >= 2 {
			r.method, r.url = words[0], words[1]
		}
		r.status, _ = strconv.Atoi(m[3]) // three digits, by the expression
		r.bytes, r.sized, _ = size(m[4]) // digits or -, by the expression
		l.take(r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l.finish(s.path, "an access log")
}
