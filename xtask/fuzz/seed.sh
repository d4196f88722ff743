#!/usr/bin/env bash
# Fills corpus/ from the golden files of the tests, each in the form that its target takes. Nothing here is committed. Files
# of more than 64 kB are left out: they make every execution slow and hold nothing that the others lack.
set -euo pipefail
cd "$(dirname "$0")"
io=../../crates/scfm-io/tests/golden
attention=../../crates/scfm-attention/tests/golden
references=../../fixtures/k562/references

# put TARGET NAME BYTE FILE: the file behind a byte in octal that says what it is.
put() {
    mkdir -p "corpus/$1"
    { printf "\\$3"; cat "$4"; } >"corpus/$1/$2"
}

mkdir -p corpus/{dictionary,torch,checkpoint,h5ad,market,lists,parquet}
cp "$attention"/v2/*.pkl "$attention"/bert/*_dictionary.json "$attention"/scgpt/vocab.json corpus/dictionary/

for file in tensors legacy module; do
    put torch "$file" 000 "$io/$file.bin"
done
for file in "$io"/tensors.bin "$io"/module.bin "$attention"/bert_torch/pytorch_model.bin "$attention"/scgpt/best_model.pt; do
    name=$(basename "$file")
    unzip -p "$file" '*/data.pkl' >corpus/pickle
    put torch "pickle-$name" 001 corpus/pickle
    rm corpus/pickle
done

put checkpoint config 000 "$attention/v2/config.json"
put checkpoint tokens 001 "$attention/v2/token_dictionary_gc104M.pkl"
put checkpoint medians 002 "$attention/v2/gene_median_dictionary_gc104M.pkl"
put checkpoint safetensors 003 "$attention/v2/model.safetensors"
put checkpoint args 005 "$attention/scgpt/args.json"
put checkpoint vocab 006 "$attention/scgpt/vocab.json"
put checkpoint scgpt-safetensors 007 "$attention/scgpt_extra.safetensors"
put checkpoint torch 004 "$io/tensors.bin"
put checkpoint best-model 010 "$io/tensors.bin"

cp "$io"/{columns,filters,huge,latest,legacy_fixed,legacy_variable,links,normalised,shuffled}.h5ad corpus/h5ad/

# join NAME FILE...: the parts of a folder, with the byte 0x1e between them.
join() {
    local name=$1 between=
    shift
    for part in "$@"; do
        printf '%b' "$between"
        case $part in
        *.gz) gzip -dc "$part" ;;
        *) cat "$part" ;;
        esac
        between='\x1e'
    done >"corpus/market/$name"
}
market=$io/market
join old "$market"/old/GSM1_{matrix.mtx,genes.tsv,barcodes.tsv} "$market/old/obs.tsv"
join guides "$market"/guides/{matrix.mtx,features.tsv,barcodes.tsv,metadata.csv}.gz
join pattern "$market"/pattern/{matrix.mtx,features.tsv,barcodes.tsv}

for file in "$references"/*; do
    name=$(basename "$file")
    for kind in 0 1 2 3 4 5; do
        head -c 4000 "$file" >corpus/list
        put lists "$name-$kind" "00$kind" corpus/list
        head -c 400 "$file" | gzip -9 >corpus/list
        put lists "$name-$kind.gz" "00$kind" corpus/list
    done
done
head -c 4000 "$references/../truth.csv" >corpus/list
put lists truth 002 corpus/list
printf 'TF,target,importance\nGATA1,KLF1,2.5\nTAL1,KLF1,NA\n' >corpus/list
put lists adjacencies 000 corpus/list
printf '"" "regulatoryGene" "targetGene" "weight"\n"1" "A" "B" 0.5\n' >corpus/list
put lists rows-of-r 000 corpus/list
printf 'source\ttarget\tmode\tweight\nMYC\tTERT\t-1\t2\n' >corpus/list
put lists signed 002 corpus/list
rm corpus/list

for kind in 0 1 2; do
    printf "\\00$kind\\100\\000\\377" >"corpus/parquet/$kind"
done
