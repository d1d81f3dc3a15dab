# metrics.bash - reads what --metrics wrote.

# Checks that each line of a file is as Prometheus' text format has it, that
# each metric has its HELP and TYPE once, before it, and no series comes twice.
prom() { # FILE
	python3 - "$1" <<-'END'
		import re, sys
		text = open(sys.argv[1], newline='').read()
		assert text.endswith('\n')
		label = r'[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"'
		sample = re.compile(r'(\w+)(\{%s(?:,%s)*\}) (\S+)' % (label, label))
		name, helped, typed, seen = None, set(), set(), set()
		for line in text[:-1].split('\n'):
		    word = line.split(' ')
		    if word[:2] == ['#', 'HELP']:
		        name = word[2]
		        assert name not in helped and len(word) > 3, line
		        helped.add(name)
		    elif word[:2] == ['#', 'TYPE']:
		        assert word[2:] == [name, 'gauge'], line
		        typed.add(name)
		    else:
		        m = sample.fullmatch(line)
		        assert m and m[1] == name and name in typed, line
		        assert name.startswith('mrtools_last_'), line
		        assert m[1] + m[2] not in seen, line
		        seen.add(m[1] + m[2])
		        assert float(m[3]) >= 0, line
		assert helped == typed and seen
	END
}

# What m.prom says of NAME, of IMAGE if there are several.
value() { # NAME [IMAGE]
	sed -n "s/^mrtools_last_$1{.*image=\"${2-.*}\"} //p" m.prom
}
