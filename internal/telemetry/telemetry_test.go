package telemetry

import (
	"net/http/httptest"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers/disk"
	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/internal/tiers/redis"
)

// numbered returns an S whose numbers are all different and above 1000, and
// those numbers by field.
func numbered[S any]() (S, map[string]string) {
	var s S
	want := make(map[string]string)
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		n := 1001 + i
		switch f.Kind() {
		case reflect.Uint64:
			f.SetUint(uint64(n))
		case reflect.Int:
			f.SetInt(int64(n))
		default:
			continue
		}
		want[v.Type().Field(i).Name] = strconv.Itoa(n)
	}
	return s, want
}

// Whatever a part counts, a scrape tells: a field that was added and
// forgotten here fails.
func everyFieldIsTold[S any](t *testing.T, of func(func() S) prometheus.Collector) {
	t.Helper()
	s, want := numbered[S]()
	got := scrape(t, of(func() S { return s }))
	for field, n := range want {
		if strings.Count(got, " "+n+"\n") != 1 {
			t.Errorf("%T.%s = %s is not told once by\n%s", s, field, n, got)
		}
	}
}

func scrape(t *testing.T, c ...prometheus.Collector) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c...)
	w := httptest.NewRecorder()
	Handler(r).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("scrape: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestEveryFieldIsTold(t *testing.T) {
	everyFieldIsTold(t, Node)
	everyFieldIsTold(t, Memory)
	everyFieldIsTold(t, Disk)
	everyFieldIsTold(t, Shared)
	everyFieldIsTold(t, RESP)
	everyFieldIsTold(t, Snapshots)
}

func TestPartitions(t *testing.T) {
	got := scrape(t, Node(func() node.Stats {
		return node.Stats{Partitions: []node.PartitionStats{
			{Applied: 7, Horizon: 3, Joined: true, FreshAge: 1500 * time.Millisecond, Brackets: 2}, {Applied: 9},
		}}
	}))
	for _, want := range []string{
		`tercet_applied_position{partition="0"} 7`, `tercet_applied_position{partition="1"} 9`, `tercet_horizon_position{partition="0"} 3`,
		`tercet_joined{partition="0"} 1`, `tercet_joined{partition="1"} 0`,
		`tercet_fresh_age_seconds{partition="0"} 1.5`, `tercet_open_brackets{partition="0"} 2`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(got, `tercet_fresh_age_seconds{partition="1"}`) {
		t.Error("a partition that never joined tells how fresh it is")
	}
}

func TestNamesFollowTheConvention(t *testing.T) {
	r, err := NewRegistry(Build{Version: "1.2.3", Revision: "abc", Go: "go1"},
		Node(func() node.Stats { return node.Stats{Partitions: make([]node.PartitionStats, 1)} }),
		Memory(func() memory.Stats { return memory.Stats{} }), Disk(func() disk.Stats { return disk.Stats{} }),
		Shared(func() redis.Stats { return redis.Stats{Breaker: "open"} }), RESP(func() Clients { return Clients{} }),
		Snapshots(func() SnapshotCounts { return SnapshotCounts{Newest: time.Now()} }),
		Switches(func() []node.TierState { return []node.TierState{{Tier: node.FromDisk, Present: true}} }))
	if err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	name := regexp.MustCompile(`^(tercet(_[a-z]+)+|go_.*|process_.*)$`)
	found := map[string]float64{}
	for _, f := range families {
		if !name.MatchString(f.GetName()) {
			t.Errorf("name %s", f.GetName())
		}
		if f.GetMetric()[0].GetGauge() != nil {
			found[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	if found["tercet_build_info"] != 1 || found["tercet_redis_breaker_open"] != 1 {
		t.Errorf("found %v", found)
	}
}

func TestARegistryRefusesDoubles(t *testing.T) {
	c := RESP(func() Clients { return Clients{} })
	if _, err := NewRegistry(ReadBuild(), c, c); err == nil {
		t.Error("the same metrics twice are accepted")
	}
}
