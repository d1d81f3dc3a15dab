# libvirt.bash - what the tests with a libvirt share; after vm.bash.

# Skips the test without a virsh that knows sparse images.
need_virsh() {
	local have
	need_qemu
	have=$(virsh --version 2>/dev/null) || skip "no virsh"
	printf '%s\n' 11.2 "$have" | sort -CV ||
		skip "libvirt is $have, sparse images need 11.2"
}

# Its QEMU driver changes nothing of the machine.
qemu_conf() { # FILE
	cat >"$1" <<-END
		security_driver = "none"
		namespaces = []
		cgroup_controllers = []
		stdio_handler = "file"
		remember_owner = 0
	END
}

# A domain with the guest of the tests, and what it says in a file.
domain_xml() { # NAME KERNEL SERIAL
	cat <<-END
		<domain type='qemu'>
		  <name>$1</name>
		  <uuid>c0ffee00-1234-4abc-8def-0000000000a1</uuid>
		  <memory unit='MiB'>64</memory>
		  <os><type arch='x86_64' machine='pc'>hvm</type>
		    <kernel>$2</kernel>
		    <cmdline>fill=16M</cmdline></os>
		  <cpu mode='custom'><model>qemu64</model></cpu>
		  <devices>
		    <emulator>$(command -v "$QEMU")</emulator>
		    <serial type='file'><source path='$3'/></serial>
		    <controller type='usb' model='none'/>
		    <memballoon model='none'/>
		  </devices>
		</domain>
	END
}
