package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/raptorflow/tercet/test/process"
)

// harness, in the environment, has the test's binary be a harness that is killed.
const harness = "WIRE_TEST_HARNESS"

func TestMain(m *testing.M) {
	if os.Getenv(harness) != "" {
		if err := beKilled(); err != nil {
			fmt.Fprintln(os.Stdout, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// build makes a network with a host, or, where that is not permitted, holds the
// error to what it promises and returns ok false.
func build(t *testing.T) (n *Net, h *Host, ok bool) {
	t.Helper()
	n, err := New()
	if err == nil {
		h, err = n.Host()
	}
	if err == nil {
		return n, h, true
	}
	var told *Error
	if !errors.Is(err, ErrNotPermitted) || !errors.As(err, &told) || told.Op == "" || told.Hint == "" {
		t.Fatalf("%v, want what is missing and what to do", err)
	}
	t.Logf("namespaces are not permitted here: %v", err)
	return nil, nil, false
}

// echo says back every line that is sent to addr, on the host.
func echo(t *testing.T, h *Host, addr string) {
	t.Helper()
	var l net.Listener
	err := h.Do(func() (err error) {
		l, err = net.Listen("tcp4", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go answer(l)
}

func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c) // until either end is closed
		}()
	}
}

// say sends a line and returns the answer.
func say(c net.Conn, line string, d time.Duration) (string, error) {
	if err := c.SetDeadline(time.Now().Add(d)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	return hear(c, d)
}

func hear(c net.Conn, d time.Duration) (string, error) {
	if err := c.SetDeadline(time.Now().Add(d)); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// Behind a cable that is out there is silence: connections stay, nobody is told,
// and what was said is heard once it is in again.
func TestUnpluggedIsSilent(t *testing.T) {
	before, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	n, h, ok := build(t)
	if !ok {
		return
	}
	port := process.FreePort(t)
	addr, err := h.Offer(port)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, h, addr)
	// One connection as the fleet's are, through loopback, and one that ends at the
	// cable, where a reset would show.
	near, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := n.space.dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	both := map[string]net.Conn{"near": near, "far": far}
	for name, c := range both {
		if got, err := say(c, "hello", 5*time.Second); got != "hello" || err != nil {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
	}
	if up, err := h.Carrier(); err != nil || !up {
		t.Errorf("carrier %t, %v", up, err)
	}

	if err := h.Unplug(); err != nil {
		t.Fatal(err)
	}
	if up, err := h.Carrier(); err != nil || up {
		t.Errorf("carrier %t without a cable, %v", up, err)
	}
	for name, c := range both {
		if got, err := say(c, "anybody there?", 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %q, %v without a cable", name, got, err)
		}
	}
	// For longer than a neighbour is asked for, which is three seconds.
	if _, err := h.Connect(t.Context(), 3500*time.Millisecond); !errors.Is(err, ErrSilent) {
		t.Errorf("a new connection: %v, want %v", err, ErrSilent)
	}
	// From the host's side too.
	err = h.Do(func() error {
		c, err := net.DialTimeout("tcp4", hub.at("1"), 300*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return err
	})
	if late := net.Error(nil); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("a new connection from the host: %v, want silence", err)
	}

	if err := h.Plug(); err != nil {
		t.Fatal(err)
	}
	for name, c := range both {
		if got, err := hear(c, 20*time.Second); got != "anybody there?" || err != nil {
			t.Errorf("%s: %q, %v after the cable is in", name, got, err)
		}
	}
	if _, err := h.Connect(t.Context(), 5*time.Second); err != nil {
		t.Error(err)
	}
	spaces := []string{identity(t, n.space), identity(t, h.space)}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	for _, s := range spaces {
		if left := inhabitants(s); len(left) > 0 {
			t.Errorf("%s is kept by %v", s, left)
		}
	}
	if after, err := net.Interfaces(); err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("the machine's links were %v and are %v, %v", before, after, err)
	}
}

// Hosts reach loopback at the switch, and at their own if that is mirrored.
func TestReach(t *testing.T) {
	n, h, ok := build(t)
	if !ok {
		return
	}
	defer n.Close()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go answer(l)
	seen, err := n.Reach(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := n.Reach(l.Addr().String()); again != seen || err != nil {
		t.Errorf("%s and %s, %v", seen, again, err)
	}
	// By the switch's address, and by the one that everybody knows.
	if err := h.Mirror(l.Addr().String(), seen); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{seen, l.Addr().String()} {
		c, err := h.space.dial(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got, err := say(c, "hello", 5*time.Second); got != "hello" || err != nil {
			t.Errorf("%s: %q, %v", addr, got, err)
		}
	}
	if err := h.Unplug(); err != nil {
		t.Fatal(err)
	}
	c, err := h.space.dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := say(c, "hello", 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("without a cable: %q, %v", got, err)
	}
}

// beKilled is a harness with a process on a host; it tells the process and the
// namespaces, and waits for its end.
func beKilled() error {
	n, err := New()
	if err != nil {
		return err
	}
	h, err := n.Host()
	if err != nil {
		return err
	}
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := h.Do(cmd.Start); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, cmd.Process.Pid, spaceOf(n.space), spaceOf(h.space))
	select {}
}

// A harness that is killed leaves neither processes nor namespaces.
func TestKilledHarnessLeavesNothing(t *testing.T) {
	n, _, ok := build(t)
	if !ok {
		return
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), harness+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	told := strings.Fields(line)
	if err != nil || len(told) != 3 {
		t.Fatalf("it said %q, %v", line, err)
	}
	for _, s := range told[1:] {
		if len(inhabitants(s)) == 0 {
			t.Errorf("nobody is in %s while it runs", s)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	left := func() (all []string) {
		for _, s := range told[1:] {
			all = append(all, inhabitants(s)...)
		}
		return all
	}
	for len(left()) > 0 {
		select {
		case <-ctx.Done():
			t.Fatalf("after its end there are %v", left())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// spaceOf names a namespace as /proc does.
func spaceOf(s *space) string {
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", s.fd))
	if err != nil {
		return err.Error()
	}
	return name
}

func identity(t *testing.T, s *space) string {
	t.Helper()
	name := spaceOf(s)
	if !strings.HasPrefix(name, "net:[") {
		t.Fatalf("a namespace is called %q", name)
	}
	return name
}

// inhabitants are the threads in a namespace and the files that keep it.
func inhabitants(space string) (all []string) {
	for _, pattern := range []string{"/proc/[0-9]*/task/*/ns/net", "/proc/[0-9]*/fd/*"} {
		files, _ := filepath.Glob(pattern) // the pattern is good
		for _, f := range files {
			if is, err := os.Readlink(f); err == nil && is == space {
				all = append(all, f)
			}
		}
	}
	return all
}

// Who may not make namespaces is told what to do; what fails for another reason
// is not taken for that.
func TestErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		err  error
		hint string
	}{
		{unix.EPERM, "unshare -Urm"}, {unix.EOPNOTSUPP, "modprobe"}, {unix.EADDRINUSE, ""},
	} {
		err := failed("add a bridge", c.err)
		if errors.Is(err, ErrNotPermitted) != (c.hint != "") || !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%v: %v", c.err, err)
		}
	}
	if err := failed("add a bridge", nil); err != nil {
		t.Error(err)
	}
}
