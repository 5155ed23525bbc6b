"""Fine-tune a quantized model through its integers, in a loop of plain PyTorch.

python examples/qat.py --bits 4,3 --save trained --json models/zoo/qat.json
bitlog2 evaluate --load trained/digits_w3a3.safetensors --check all

The unquantized model is the teacher, no labels are used, and held-out images steer nothing.
"""

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F

from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.models.qat import checked, frozen, trainable
from bitlog2.models.zoo.checkpoint import QuantizedModel, save_quantized
from bitlog2.models.zoo.fashion import idx_images
from bitlog2.models.zoo.task import load_task
from bitlog2.models.zoo.training import RECIPES, augment


def fine_tune(model, teacher, images, recipe, epochs, rate, batch):
    """Train in place on images (n, C, H, W); each epoch leaves an incomplete batch out."""
    generator, steps = torch.Generator().manual_seed(0), len(images) // batch
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps)
    for epoch in range(epochs):
        order, total = torch.randperm(len(images), generator=generator), 0.0
        for chosen in order[: steps * batch].split(batch):
            shown = augment(images[chosen], recipe, generator)
            with torch.no_grad():
                wanted = teacher(shown).log_softmax(dim=1)
            found = model(shown).log_softmax(dim=1)
            loss = F.kl_div(found, wanted, log_target=True, reduction="batchmean")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / steps:.4f}", flush=True)


def figures(model, images, labels, wanted):
    """Return top-1 and the agreement with the wanted predictions, percent."""
    with torch.inference_mode():
        found = torch.cat([model(part).argmax(dim=1) for part in images.split(64)])
    top1, agreement = (100 * (found == each).double().mean().item() for each in (labels, wanted))
    return {"top1": round(top1, 2), "agreement": round(agreement, 2)}


def main(arguments=None):
    """Quantize, fine-tune, save and print what it gave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="digits", choices=sorted(RECIPES))
    parser.add_argument("--scheme", default="BitLog2_Half_17")
    parser.add_argument("--bits", default="4", help="of weights and activations: 2 to 8, commas")
    parser.add_argument(
        "--train", type=Path, help="Fashion-MNIST's folder (default: shipped images)"
    )
    parser.add_argument("--images", type=int, help="training images (default: all)")
    parser.add_argument("--held-out", type=int, help="images that judge (default: all)")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-4, help="largest learning rate")
    parser.add_argument("--save", type=Path, default=Path("trained"), help="folder of the models")
    parser.add_argument("--json", type=Path, help="takes the rows beside those of other models")
    options = parser.parse_args(arguments)
    task = load_task(options.model)
    images = (idx_images(options.train, "train") if options.train else task.data.train).tensors[0]
    held_out, labels = task.data.test[: options.held_out]
    with torch.inference_mode():
        wanted = torch.cat([task.model(part).argmax(dim=1) for part in held_out.split(64)])
    rows = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for bits in map(int, options.bits.split(",")):
        spec = QuantizationSpec(options.scheme, "attention", bits, bits)
        quantized = quantize(task.model, task.calibration_images(0), spec)
        model = trainable(quantized)
        with checked(model, every=20) as compared:
            recipe, teacher = RECIPES[options.model], task.model
            chosen = images[: options.images]
            fine_tune(model, teacher, chosen, recipe, options.epochs, options.rate, options.batch)
        trained, name = frozen(model), f"{options.model}_w{bits}a{bits}"
        options.save.mkdir(parents=True, exist_ok=True)
        saved = QuantizedModel(trained, options.model, task.data.classes, spec, 0)
        save_quantized(options.save / f"{name}.safetensors", saved)
        rows[name] = {
            "images": len(chosen),
            "epochs": options.epochs,
            "rate": options.rate,
            "values_compared": sum(compared.values()),
            "before": figures(quantized, held_out, labels, wanted),
            "after": figures(trained, held_out, labels, wanted),
        }
        print(f"{name}: {rows[name]}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
