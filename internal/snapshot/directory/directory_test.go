package directory_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/snapshot/directory"
	"github.com/raptorflow/tercet/internal/snapshot/storetest"
)

func open(t testing.TB, dir string) *directory.Store {
	t.Helper()
	s, err := directory.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (snapshot.Store, snapshot.Store) {
		dir := t.TempDir()
		return open(t, dir), open(t, dir)
	})
}

func TestNamesStayWithin(t *testing.T) {
	s := open(t, t.TempDir())
	for _, name := range []string{"", ".", "../a", "/a", "a/../../b", "a//b", "shop/.writing-1"} {
		if err := s.Put(t.Context(), name, strings.NewReader("")); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("put of %q: %v, want ErrInvalid", name, err)
		}
	}
}

func TestOldHalvesAreSweptAway(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "shop"), 0o755); err != nil {
		t.Fatal(err)
	}
	old, young := filepath.Join(dir, "shop", ".writing-1"), filepath.Join(dir, "shop", ".writing-2")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * snapshot.Unfinished)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(old); err == nil {
		t.Error("an old half is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Error("somebody's half is gone that may still be written:", err)
	}
}

// writingIn has the directory that the process writes snapshots in.
const writingIn = "TERCET_TEST_SNAPSHOTS"

const rowsPerImage = 20_000

// TestWritingProcess is the process that TestKilledAtAnyInstant kills.
func TestWritingProcess(t *testing.T) {
	dir := os.Getenv(writingIn)
	if dir == "" {
		return
	}
	c := catalogue(t, dir)
	var base *snapshot.Manifest
	for n := range 500 { // whoever should kill it may have died
		m, err := c.Create(t.Context(), snapshot.Draft{Node: "n", Kind: snapshot.Full, Base: base, Partitions: []snapshot.Place{{Epoch: 1}}},
			func(add func(snapshot.Row) error) error {
				for k := range rowsPerImage {
					if err := add(snapshot.Row{Kind: snapshot.RowVersion, Name: fmt.Sprintf("%06d", k), Held: fmt.Appendf(nil, "%08d", n)}); err != nil {
						return err
					}
				}
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
		if base = &m; n%4 == 3 {
			base = nil
		}
		if _, err := c.Prune(t.Context(), snapshot.Retention{Last: 3}); err != nil {
			t.Fatal(err)
		}
	}
}

func catalogue(t testing.TB, dir string) *snapshot.Catalogue {
	t.Helper()
	c, err := snapshot.NewCatalogue(open(t, dir), snapshot.Config{Domain: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A process that creates and prunes is killed at any instant: everything that the
// catalogue lists can be read, and nothing that it listed before is lost but by
// retention.
func TestKilledAtAnyInstant(t *testing.T) {
	dir := t.TempDir()
	listed := 0
	for kill := range 15 {
		p := exec.Command(os.Args[0], "-test.run=^TestWritingProcess$")
		p.Env = append(os.Environ(), writingIn+"="+dir)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(60+29*kill) * time.Millisecond)
		_ = p.Process.Kill()
		_ = p.Wait()
		c := catalogue(t, dir)
		all, refused, err := c.List(t.Context())
		if err != nil || len(refused) > 0 {
			t.Fatalf("after kill %d: refused %v, %v", kill, refused, err)
		}
		if len(all) == 0 && listed > 0 {
			t.Fatalf("after kill %d nothing is left of %d snapshots", kill, listed)
		}
		listed = len(all)
		for _, m := range all {
			if err := c.Verify(t.Context(), m); err != nil {
				t.Fatalf("after kill %d: %v", kill, err)
			}
		}
	}
	if listed == 0 {
		t.Error("no snapshot was ever completed")
	}
	torn := filepath.Join(dir, "shop", ".writing-torn")
	if err := os.WriteFile(torn, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// A day later nothing is there but what is listed.
	later, err := snapshot.NewCatalogue(open(t, dir), snapshot.Config{Domain: "shop", Now: func() time.Time { return time.Now().Add(2 * snapshot.Unfinished) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.Prune(t.Context(), snapshot.Retention{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(torn); err == nil {
		t.Error("what was left half written is still there")
	}
	names, err := open(t, dir).List(t.Context(), "shop/")
	if err != nil || len(names) != 2*listed {
		t.Errorf("%d objects of %d snapshots, %v: %q", len(names), listed, err, names)
	}
}
