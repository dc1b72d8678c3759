package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

const (
	// version is the only one there is. Others are refused.
	version      = 1
	manifestName = "backup.json"
)

// ErrUnusable reports a directory that holds no whole backup of a version that
// this build knows.
var ErrUnusable = errors.New("unusable backup")

// Manifest says what a backup holds. It is written last: a directory without one
// holds no backup.
type Manifest struct {
	Version  int             `json:"tercet_backup"`
	Domain   string          `json:"domain"`
	Settings events.Settings `json:"settings"`
	Made     time.Time       `json:"made"`
	Logs     []Log           `json:"logs"`
}

// Log is one partition's log in a backup.
type Log struct {
	Partition int    `json:"partition"`
	Stream    string `json:"stream"`
	File      string `json:"file"`
	Bytes     int64  `json:"bytes"`
	// SHA256 is the file's, in hexadecimal.
	SHA256 string `json:"sha256"`
	// First and Last are the positions that the log held.
	First events.Position `json:"first"`
	Last  events.Position `json:"last"`
	// Config and State are the stream's, as its server told them.
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
}

// Open reads the manifest of a backup and checks every byte that it names.
// Errors wrap [ErrUnusable] or are the file system's.
func Open(dir string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no %s: it is no backup, or its making was interrupted", ErrUnusable, dir, manifestName)
	}
	if err != nil {
		return nil, err
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrUnusable, manifestName, err)
	}
	switch {
	case m.Version != version:
		return nil, fmt.Errorf("%w: version %d, this build reads %d", ErrUnusable, m.Version, version)
	case events.ValidateDomain(m.Domain) != nil || m.Settings.Validate() != nil:
		return nil, fmt.Errorf("%w: %s: no valid domain or settings", ErrUnusable, manifestName)
	case len(m.Logs) != m.Settings.Partitions:
		return nil, fmt.Errorf("%w: %d logs of %d", ErrUnusable, len(m.Logs), m.Settings.Partitions)
	}
	for _, l := range m.Logs {
		if err := l.check(dir); err != nil {
			return nil, err
		}
	}
	return &m, nil
}

func (l *Log) path(dir string) string { return filepath.Join(dir, filepath.Base(l.File)) }

// check compares the file with what the manifest says of it.
func (l *Log) check(dir string) error {
	f, err := os.Open(l.path(dir))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s is missing", ErrUnusable, l.File)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return err
	}
	if n != l.Bytes || hex.EncodeToString(sum.Sum(nil)) != l.SHA256 {
		return fmt.Errorf("%w: %s is not what it was when the backup was taken", ErrUnusable, l.File)
	}
	return nil
}

// write puts the manifest into its place, whole.
func (m *Manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	torn := filepath.Join(dir, manifestName+".part")
	if err := os.WriteFile(torn, append(text, '\n'), 0o600); err != nil {
		return err
	}
	if err := syncFile(torn); err != nil {
		return err
	}
	if err := os.Rename(torn, filepath.Join(dir, manifestName)); err != nil {
		return err
	}
	return syncFile(dir)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
