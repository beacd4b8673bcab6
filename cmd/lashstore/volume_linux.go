package main

import (
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// volumeOf asks the system about the file system of a folder.
func volumeOf(folder string) (volume, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return volume{}, &os.PathError{Op: "statfs", Path: folder, Err: err}
	}
	// The numbers are of 32 bits; some architectures keep them with a sign.
	v := knownVolume(uint32(st.Type))                                          //nolint:gosec // see above
	blockBytes := uint64(st.Bsize)                                             //nolint:gosec // a block has a size
	v.freeBytes = int64(min(st.Bavail, math.MaxInt64/blockBytes) * blockBytes) //nolint:gosec // bounded
	return v, nil
}

// knownVolume knows the file systems that matter for a store: statfs(2) lists the
// numbers. What it does not know has no name.
func knownVolume(magic uint32) volume {
	switch magic {
	case unix.NFS_SUPER_MAGIC:
		return volume{kind: "NFS", network: true}
	case unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return volume{kind: "SMB", network: true}
	case unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC:
		return volume{kind: "AFS", network: true}
	case unix.CEPH_SUPER_MAGIC:
		return volume{kind: "CephFS", network: true}
	case unix.CODA_SUPER_MAGIC:
		return volume{kind: "Coda", network: true}
	case unix.V9FS_MAGIC:
		return volume{kind: "9P", network: true}
	case unix.FUSE_SUPER_MAGIC:
		return volume{kind: "FUSE", network: true}
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return volume{kind: "memory", volatile: true}
	case unix.EXT4_SUPER_MAGIC:
		return volume{kind: "ext"}
	case unix.XFS_SUPER_MAGIC:
		return volume{kind: "XFS"}
	case unix.BTRFS_SUPER_MAGIC:
		return volume{kind: "Btrfs"}
	case unix.OVERLAYFS_SUPER_MAGIC:
		return volume{kind: "overlay"}
	default:
		return volume{}
	}
}
