package client

import "github.com/raptorflow/tercet/internal/tiers/disk"

// TuneDisk has f change the disk tier's config before it is opened.
func (c *Config) TuneDisk(f func(*disk.Config)) { c.tuneDisk = f }

// ForgetInMemory drops the memory tier's copy of key.
func (c *Client) ForgetInMemory(key string) { c.l1.Remove(key) }
