//go:build !linux

package main

import "errors"

// volumeOf knows nothing of file systems here.
func volumeOf(string) (volume, error) { return volume{}, errors.ErrUnsupported }
