package link

import (
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/pkg/client"
)

// SealKeys returns the keys that values are sealed with outside of memory.
func SealKeys(c *config.Config) (keys client.SealKeys, err error) {
	from := "seal_keys"
	if c.SealKeysFile != "" {
		from = "seal_keys_file"
		keys, err = client.ReadSealKeys(c.SealKeysFile)
	} else {
		keys, err = client.ParseSealKeys(c.SealKeys)
	}
	if err != nil {
		return keys, &config.Error{Key: from, Reason: err.Error(), Err: config.ErrValue}
	}
	return keys, nil
}
