package gauge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Watch samples the processes every so often until ctx is done. Times count from
// begun. What ended meanwhile is left out.
func Watch(ctx context.Context, begun time.Time, every time.Duration, processes func() []Process) []Sample {
	var out []Sample
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			out = append(out, look(ctx, client, time.Since(begun), processes())...)
		case <-ctx.Done():
			return out
		}
	}
}

// look samples all at once: one that is paused must not hold up the others.
func look(ctx context.Context, client *http.Client, at time.Duration, all []Process) []Sample {
	samples := make([]Sample, len(all))
	var asked sync.WaitGroup
	for i, p := range all {
		asked.Go(func() {
			samples[i] = Sample{At: at, Name: p.Name, Kind: p.Kind, Pid: p.Pid, Goroutines: goroutines(ctx, client, p.Metrics), Files: files(p.Pid), RSS: rss(p.Pid)}
			if p.Name == Harness {
				samples[i].Goroutines = runtime.NumGoroutine()
			}
		})
	}
	asked.Wait()
	var there []Sample
	for _, s := range samples {
		if s.RSS > 0 {
			there = append(there, s)
		}
	}
	return there
}

func files(pid int) int {
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return -1
	}
	return len(all)
}

func rss(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return -1
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return -1
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return -1
	}
	return pages * int64(os.Getpagesize())
}

func goroutines(ctx context.Context, client *http.Client, url string) int {
	if url == "" {
		return -1
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return -1
	}
	answer, err := client.Do(req)
	if err != nil {
		return -1
	}
	defer answer.Body.Close()
	return gauged(answer.Body, "go_goroutines")
}

// gauged reads one figure of a page in Prometheus's text format.
func gauged(r io.Reader, name string) int {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return -1
			}
			return int(n)
		}
	}
	return -1
}
