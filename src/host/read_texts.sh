# Prints small text files: "KEY<tab>LINE" for every line, then "KEY end".
#
# Arguments: pairs of a key and a path. What is no text, or is large, or can't be read, is passed over.
while [ $# -ge 2 ]; do
	key=$1
	file=$2
	shift 2
	if [ -L "$file" ] || [ ! -f "$file" ] || [ ! -r "$file" ] || [ "$(stat -L -c %s -- "$file")" -gt 65536 ]; then
		continue
	fi
	# What a shell takes for a text has no NUL, and no control character but these.
	[ "$(tr -d '\t\n\r\040-\176\200-\377' <"$file" | wc -c)" = 0 ] || continue
	# The last line may have no end.
	while IFS= read -r line || [ -n "$line" ]; do
		printf '%s\t%s\n' "$key" "$line"
	done <"$file"
	printf '%s end\n' "$key"
done
