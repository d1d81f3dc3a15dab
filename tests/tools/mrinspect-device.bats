#!/usr/bin/env bats
# mrinspect: device state and its description.

load ../lib/env

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# A device "dev" of 14 bytes, all 0x55, that is described; "raw" is not.
DESC='{"page_size": 4096, "devices": [
	{"name": "globalstate", "instance_id": 0, "vmsd_name": "globalstate",
	 "version": 1, "fields": [
		{"name": "size", "type": "uint32", "size": 4},
		{"name": "runstate", "type": "buffer", "size": 100}]},
	{"name": "dev", "instance_id": 0, "vmsd_name": "device", "version": 1,
	 "fields": [
		{"name": "a", "type": "uint16", "size": 2},
		{"name": "b", "type": "int16", "size": 2},
		{"name": "c", "array_len": 3, "type": "uint8", "size": 1},
		{"name": "d", "array_len": 2, "type": "struct", "size": 2,
		 "struct": {"vmsd_name": "pair", "version": 1, "fields": [
			{"name": "x", "type": "int8", "size": 1},
			{"name": "y", "type": "bool", "size": 1}]}},
		{"name": "e", "type": "qlist", "size": 3}]}]}'
DESC=$(tr -d '\n\t' <<<"$DESC")

image() {
	mkimage --device dev=14 --device raw=20 --vmdesc "$DESC" image
}

@test "fields in words" {
	image
	run -0 --separate-stderr mrinspect --device dev image
	[ "${lines[0]}" = "image: mapped-ram image, complete" ]
	[[ ${lines[1]} == "dev, instance 0, section 4, version 1, 14 bytes at 0x"* ]]
	diff - <(printf '%s\n' "${lines[@]:2}") <<-'END'
	  a = 0x5555
	  b = 21845
	  c[0..2] = 0x55
	  d[0].x = 85
	  d[0].y = 55
	  d[1].x = 85
	  d[1].y = 55
	  e = 55 55 55
	END
}

@test "fields as JSON" {
	image
	mrinspect --json --device dev image | jq -c '.files[0].devices' >out
	[ "$(jq length out)" = 1 ]
	[ "$(jq -c '.[0].fields' out)" = '{"a":"0x5555","b":21845,"c":["0x55","0x55","0x55"],"d":[{"x":85,"y":"55"},{"x":85,"y":"55"}],"e":"555555"}' ]
	[ "$(jq -r '.[0]|.name,.vmsd,.instance,.size' out | tr '\n' ' ')" = "dev device 0 14 " ]
}

@test "fields of one name are one member, wherever they stand" {
	local field='"type": "uint8", "size": 1'
	mkimage --device dev=8 --vmdesc '{"devices": [{"name": "dev", "fields":
		[{"name": "a", '"$field"'}, {"name": "b", '"$field"'},
		{"name": "a", '"$field"'}, {"name": "q\"\u00e9\u0001", '"$field"'},
		{"name": "s", "type": "struct", "size": 2, "struct": {"fields":
		[{"name": "a", '"$field"'}, {"name": "a", '"$field"'}]}},
		{"name": "e", "type": "struct", "size": 0, "struct": {}},
		{"name": "a", "array_len": 2, '"$field"'}]}]}' image
	[ "$(mrinspect --json -d dev image |
		jq -c '.files[0].devices[0].fields')" = \
		'{"a":["0x55","0x55","0x55","0x55"],"b":"0x55","q\"é\u0001":"0x55","s":{"a":["0x55","0x55"]},"e":{}}' ]
}

@test "JSON of all sizes is JSON, laid out as any other" {
	mkimage --device dev=400003 --vmdesc '{"devices": [{"name": "dev",
		"fields": [{"name": "n", "array_len": 50000, "type": "uint32",
		"size": 4}, {"name": "m", "array_len": 2, "type": "buffer",
		"size": 100001}, {"name": "o", "type": "uint8", "size": 1}]}]}' image
	run -2 --separate-stderr mrinspect --json -d dev image none image
	jq . <<<"$output" | diff <(cat <<<"$output") -
	jq -c '.files[] | [.path, .error.message, (.devices[0].fields? |
		(.n | length), (.m // [] | map(length)), .o)]' <<<"$output" >out
	diff out - <<-'END'
	["image",null,50000,[200002,200002],"0x55"]
	["none","cannot open: No such file or directory",0,[],null]
	["image",null,50000,[200002,200002],"0x55"]
	END
}

@test "what is not described is bytes, and says so" {
	image
	run -0 mrinspect --device raw image
	[[ $output == *"raw, instance 0, section 5, version 1, 20 bytes"* ]]
	[[ $output == *"(not decoded: the description has no such device)"* ]]
	[[ $output == *"00000010  55 55 55 55 "* ]]
	mrinspect --json --device raw image |
		jq -r '.files[0].devices[0]|.why,.bytes' >out
	diff out - <<-END
	the description has no such device
	$(printf '55%.0s' {1..20})
	END
}

@test "which: names, patterns, all of them" {
	image
	names() {
		mrinspect --json "$@" image |
			jq -r '.files[0].devices[].name' | tr '\n' ' '
	}
	[ "$(names -d all)" = "globalstate dev raw " ]
	[ "$(names -d '*')" = "globalstate dev raw " ]
	[ "$(names -d 'r?w' -d globalstate)" = "globalstate raw " ]
	run -1 --separate-stderr mrinspect -d dev -d none image
	[[ $output == *"e = 55 55 55"* ]]
	[ "$stderr" = "mrinspect: image: no device section is called none" ]
}

@test "a description that another image lends" {
	mkimage --device dev=14 --vmdesc '{}' image
	run -0 mrinspect -d dev image
	[[ $output == *"(not decoded: the image has no description)"* ]]
	mkimage --device more=5 --vmdesc "$DESC" other
	run -0 mrinspect -d dev --vmdesc-from other image
	[[ $output == *"  b = 21845"* ]]
	# It must fit.
	mkimage --device dev=13 --vmdesc '{}' image
	run -0 mrinspect -d dev --vmdesc-from other image
	[[ $output == *"(not decoded: fields go beyond the section's end)"* ]]
	run -2 --separate-stderr mrinspect -d dev --vmdesc-from nothing image
	[ "$stderr" = "mrinspect: nothing: cannot open: No such file or directory" ]
	run -2 mrinspect --vmdesc-from other image
}

@test "the description itself" {
	image
	[ "$(mrinspect --vmdesc image)" = "$DESC" ]
	mkimage --vmdesc '{}' image
	run -2 --separate-stderr mrinspect --vmdesc image
	[ "$stderr" = "mrinspect: image: the image has no description" ]
	mkimage --vmdesc '{"devices": [{"name": "é"}]}' image
	run -2 --separate-stderr mrinspect --vmdesc image
	[[ $stderr == *"not one line of ASCII at byte "* ]]
	mkimage --vmdesc '{"devices": 3}' image
	run -2 --separate-stderr mrinspect --vmdesc image
	[[ $stderr == *"devices are no array"* ]]
}

@test "names from the file do no harm" {
	mkimage --device dev=2 --vmdesc '{"devices": [{"name": "dev",
		"fields": [{"name": "\u001b[31mred", "type": "\u001b[32m",
		"size": 2}]}]}' image
	run -0 mrinspect -d dev image
	[[ $output == *'\x1b[31mred = 55 55'* ]]
	[[ $output != *$'\e'* ]]
}

@test "registers where there are none" {
	image
	run -2 --separate-stderr mrinspect --cpu image
	[ "$stderr" = 'mrinspect: image: there is no section "cpu"' ]
	mkimage --device cpu=2000 --vmdesc none image
	run -2 --separate-stderr mrinspect --cpu image
	[[ $stderr == *"CPU 0 does not look like one of a 64-bit x86 machine"* ]]
}
