package fleet

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Metric asks a member for one of its metrics, by its name with labels as it is
// written; of a name without labels it returns the sum over all.
func (f *Fleet) Metric(ctx context.Context, name, metric string) (float64, error) {
	m, err := f.member(name)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.http+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := f.web.Do(req)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	var sum float64
	found := false
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), metric)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		n, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s of %s: %w", metric, name, err)
		}
		sum, found = sum+n, true
	}
	if !found {
		return 0, fmt.Errorf("%s has no metric %s", name, metric)
	}
	return sum, nil
}

// Clock asks a member for its time: the Date of an answer, a second coarse.
func (f *Fleet) Clock(ctx context.Context, name string) (time.Time, error) {
	m, err := f.member(name)
	if err != nil {
		return time.Time{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.http+"/healthz", nil)
	if err != nil {
		return time.Time{}, err
	}
	answer, err := f.web.Do(req)
	if err != nil {
		return time.Time{}, err
	}
	answer.Body.Close()
	return http.ParseTime(answer.Header.Get("Date"))
}
