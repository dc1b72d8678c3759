package outbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/raptorflow/tercet/internal/outbox"
)

// writerEnv makes the test binary a writer into the outbox of that directory:
// it says each number once the outbox has it.
const writerEnv = "OUTBOX_OF_A_TEST"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		if err := write(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func write(dir string) error {
	o, err := outbox.Open(outbox.Config{Dir: dir})
	if err != nil {
		return err
	}
	from, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return err
	}
	go func() { // some are delivered meanwhile: their being twice is no matter, their loss is
		_ = o.Run(context.Background(), func(_ context.Context, i outbox.Item) error {
			fmt.Fprintf(os.Stdout, "delivered %s\n", i.Body)
			return nil
		})
	}()
	for n := from; ; n++ {
		if err := o.Append(outbox.Item{Body: []byte(strconv.Itoa(n))}); err != nil {
			return err
		}
		fmt.Fprintf(os.Stdout, "accepted %d\n", n)
	}
}

func open(t *testing.T, c outbox.Config) *outbox.Outbox {
	t.Helper()
	c.MinBackoff = time.Millisecond
	o, err := outbox.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// drain delivers what waits and closes the outbox.
func drain(t *testing.T, o *outbox.Outbox, deliver outbox.Deliver) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx, deliver) }()
	for deadline := time.Now().Add(30 * time.Second); o.Stats().Waiting > 0; time.Sleep(time.Millisecond) { // looks at an awaited condition
		if time.Now().After(deadline) {
			t.Fatalf("%+v", o.Stats())
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}

// Killed at any instant, again and again, a writer loses nothing that it was
// told is kept.
func TestWriterIsKilled(t *testing.T) {
	dir := t.TempDir()
	accepted, delivered := map[string]bool{}, map[string]bool{}
	next := 0
	for range 12 {
		w := exec.CommandContext(t.Context(), os.Args[0], strconv.Itoa(next))
		w.Env = append(os.Environ(), writerEnv+"="+dir)
		w.Stderr = os.Stderr
		out, err := w.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		left := 1 + rand.IntN(300)
		for lines.Scan() {
			what, n, ok := strings.Cut(lines.Text(), " ")
			if !ok || n == "" {
				continue // cut off by the kill
			}
			if what == "accepted" {
				accepted[n] = true
				next++
			} else {
				delivered[n] = true
			}
			if left--; left == 0 {
				_ = w.Process.Kill()
			}
		}
		_ = w.Wait() // killed
		next += 2    // what was under way may be there too
	}
	o := open(t, outbox.Config{Dir: dir})
	drain(t, o, func(_ context.Context, i outbox.Item) error {
		delivered[string(i.Body)] = true
		return nil
	})
	for n := range accepted {
		if !delivered[n] {
			t.Errorf("%s was accepted and is lost", n)
		}
	}
	if len(accepted) < 100 {
		t.Errorf("only %d accepted", len(accepted))
	}
}

// What was accepted survives the loss of power, which takes all that was not
// synced.
func TestPowerIsLost(t *testing.T) {
	fs := vfs.NewCrashableMem()
	o := open(t, outbox.Config{Dir: "box", FS: fs})
	var want []string
	for n := range 50 {
		if err := o.Append(outbox.Item{Kind: 7, Body: []byte(strconv.Itoa(n))}); err != nil {
			t.Fatal(err)
		}
		want = append(want, strconv.Itoa(n))
	}
	after := fs.CrashClone(vfs.CrashCloneCfg{})
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, outbox.Config{Dir: "box", FS: after})
	if s := again.Stats(); s.Waiting != 50 || s.Oldest.IsZero() {
		t.Errorf("%+v", s)
	}
	var got []string
	drain(t, again, func(_ context.Context, i outbox.Item) error {
		if i.Kind != 7 {
			t.Errorf("kind %d", i.Kind)
		}
		got = append(got, string(i.Body))
		return nil
	})
	if !slices.Equal(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
}

func TestFailuresAreTriedAgainInOrderAndRefusalsSetAside(t *testing.T) {
	dir := t.TempDir()
	o := open(t, outbox.Config{Dir: dir})
	for n := range 5 {
		if err := o.Append(outbox.Item{Body: []byte(strconv.Itoa(n))}); err != nil {
			t.Fatal(err)
		}
	}
	attempts, got := 0, []string{}
	drain(t, o, func(_ context.Context, i outbox.Item) error {
		if attempts++; attempts < 4 {
			return errors.New("no answer")
		}
		if string(i.Body) == "2" {
			return fmt.Errorf("%w: too large", outbox.ErrRefused)
		}
		got = append(got, string(i.Body))
		return nil
	})
	if !slices.Equal(got, []string{"0", "1", "3", "4"}) {
		t.Errorf("delivered %v", got)
	}
	if s := o.Stats(); s.Failures != 3 || s.Refused != 1 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
	o = open(t, outbox.Config{Dir: dir})
	defer o.Close()
	if s := o.Stats(); s.Refused != 1 || s.Waiting != 0 {
		t.Errorf("after opening again: %+v", s)
	}
}

func TestFullOutboxRefuses(t *testing.T) {
	o := open(t, outbox.Config{Dir: t.TempDir(), MaxBytes: 1000})
	body := make([]byte, 300)
	for range 3 {
		if err := o.Append(outbox.Item{Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Append(outbox.Item{Body: body}); !errors.Is(err, outbox.ErrFull) {
		t.Errorf("%v, want ErrFull", err)
	}
	drain(t, o, func(context.Context, outbox.Item) error { return nil })
	if err := o.Append(outbox.Item{}); !errors.Is(err, outbox.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

func TestHeldMessageIsItsHoldersUntilLeft(t *testing.T) {
	o := open(t, outbox.Config{Dir: t.TempDir()})
	first, err := o.Hold(outbox.Item{Body: []byte("first")})
	if err != nil {
		t.Fatal(err)
	}
	second, err := o.Hold(outbox.Item{Body: []byte("second")})
	if err != nil {
		t.Fatal(err)
	}
	first.Delivered()
	var mu sync.Mutex
	var got []string
	leave := time.AfterFunc(20*time.Millisecond, second.Leave)
	defer leave.Stop()
	drain(t, o, func(_ context.Context, i outbox.Item) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(i.Body))
		return nil
	})
	if !slices.Equal(got, []string{"second"}) {
		t.Errorf("delivered %v", got)
	}
}

func TestDirectoryBelongsToOne(t *testing.T) {
	dir := t.TempDir()
	o := open(t, outbox.Config{Dir: dir})
	defer o.Close()
	if _, err := outbox.Open(outbox.Config{Dir: dir}); err == nil {
		t.Error("a second one was let in")
	}
}

// A delivery that was under way when its process ended was none.
func TestWhatWasNotDeliveredIsThereAgain(t *testing.T) {
	dir := t.TempDir()
	o := open(t, outbox.Config{Dir: dir})
	if err := o.Append(outbox.Item{Body: []byte("only")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := o.Run(ctx, func(ctx context.Context, _ outbox.Item) error {
		cancel()
		return ctx.Err()
	})
	if err := errors.Join(err, o.Close()); err != nil {
		t.Fatal(err)
	}
	o = open(t, outbox.Config{Dir: dir})
	defer o.Close()
	if s := o.Stats(); s.Waiting != 1 {
		t.Errorf("%+v, want one that waits", s)
	}
}
